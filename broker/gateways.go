package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/console"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// gatewaysOf makes the gateways of a configuration that passed Check. They connect to nothing before they run. An error names the gateway.
func gatewaysOf(cfg config.Config, opt Options) (gateways []*meter, err error) {
	for _, g := range cfg.SMS.Gateways {
		f := fittings{
			cfg: g, opt: opt, sms: cfg.SMS, log: opt.Log.With().Str("part", "sms").Str("gateway", g.Name).Logger(),
			wire: wireOf(opt.Log, g.Name), url: callbackURL(cfg, g.Name),
		}
		made, err := f.make()
		if err != nil {
			return nil, fmt.Errorf("sms.gateways: %s: %w", g.Name, err)
		}
		m := &meter{Gateway: made, kind: g.Kind, wire: f.wire}
		if dlr, mo := m.callbacks(nil); cfg.Listen.HTTP == "" && (dlr != nil || mo != nil) {
			return nil, fmt.Errorf("sms.gateways: %s: its carrier calls us over HTTP, and listen.http is off; give it an address", g.Name)
		}
		gateways = append(gateways, m)
	}
	return gateways, nil
}

// callbackURL is under which the carrier of a gateway calls us: /dlr and /mo are below it.
func callbackURL(cfg config.Config, gateway string) string {
	return cfg.PublicURL() + "/gateway/" + gateway
}

// wireOf returns the wire log of a gateway. An operator who switches it on wants to see it, whatever the level of the log.
func wireOf(log zerolog.Logger, gateway string) *sms.Wire {
	log = log.With().Str("part", "wire").Str("gateway", gateway).Logger()
	if log.GetLevel() != zerolog.Disabled {
		log = log.Level(min(log.GetLevel(), zerolog.InfoLevel))
	}
	return sms.NewWire(func(line string) { log.Info().Msg(line) })
}

// fittings are what a gateway is made with.
type fittings struct {
	cfg  config.Gateway
	sms  config.SMS
	opt  Options
	log  zerolog.Logger
	wire *sms.Wire
	url  string // of its callbacks, without /dlr and /mo
}

func (f fittings) make() (sms.Gateway, error) {
	switch f.cfg.Kind {
	case config.KindConsole:
		return console.New(console.Config{Name: f.cfg.Name, Out: f.opt.SMS, JSON: f.opt.JSON}), nil
	case config.KindTest:
		return smstest.NewGateway(f.cfg.Name, f.cfg.URL), nil
	}
	return nil, fmt.Errorf("there is no kind %q", f.cfg.Kind)
}

// tls returns how a gateway encrypts its connection; nil: not at all.
func (f fittings) tls() (*tls.Config, error) {
	if !f.cfg.TLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.cfg.TLSCAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(string(f.cfg.TLSCAFile))
	if err != nil {
		return nil, fmt.Errorf("tls_ca_file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("tls_ca_file: there is no certificate in PEM in " + string(f.cfg.TLSCAFile))
	}
	return c, nil
}
