package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/console"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
	"github.com/seed-7a41469f/godwit/sms/smpp"
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
	case config.KindSMPP:
		t, err := f.tls()
		if err != nil {
			return nil, err
		}
		base := map[string]smpp.IDBase{"": smpp.Text, "text": smpp.Text, "hex": smpp.Hex, "decimal": smpp.Decimal}
		concat := map[string]smpp.Concat{"": smpp.UDH8, "udh8": smpp.UDH8, "udh16": smpp.UDH16, "sar": smpp.SAR, "payload": smpp.Payload}
		return smpp.New(smpp.Config{
			Name: f.cfg.Name, Addr: f.cfg.Addr, TLS: t, Pair: f.cfg.Bind == "pair", SystemID: f.cfg.SystemID, Password: string(f.cfg.Password), SystemType: f.cfg.SystemType,
			Sessions: f.cfg.Sessions, Window: f.cfg.Window, Rate: float64(f.cfg.Rate), Enquire: f.cfg.Enquire.Std(), Response: f.sms.ResponseTimeout.Std(),
			Concat: concat[f.cfg.Concat], ResponseID: base[f.cfg.ResponseID], ReceiptID: base[f.cfg.ReceiptID], Wire: f.wire, Log: f.log,
		})
	case config.KindKannel:
		return smshttp.NewKannel(smshttp.KannelConfig{
			Name: f.cfg.Name, URL: f.cfg.URL, Username: f.cfg.Username, Password: string(f.cfg.Password), Secret: string(f.cfg.CallbackSecret), CallbackURL: f.url, SMSC: f.cfg.SMSC,
			Number: contacts.Number(f.cfg.Number), Window: f.cfg.Window, Rate: float64(f.cfg.Rate), Response: f.sms.ResponseTimeout.Std(), Wire: f.wire, Log: f.log,
		})
	case config.KindTwilio:
		return smshttp.NewTwilio(smshttp.TwilioConfig{
			Name: f.cfg.Name, URL: f.cfg.URL, Account: f.cfg.Account, Token: string(f.cfg.Token), CallbackURL: f.url,
			Number: contacts.Number(f.cfg.Number), Window: f.cfg.Window, Rate: float64(f.cfg.Rate), Response: f.sms.ResponseTimeout.Std(), Wire: f.wire, Log: f.log,
		})
	case config.KindWebhook:
		headers := map[string]string{}
		for k, v := range f.cfg.Headers {
			headers[k] = string(v)
		}
		return smshttp.NewWebhook(smshttp.WebhookConfig{
			Name: f.cfg.Name, URL: f.cfg.URL, Method: f.cfg.Method, Headers: headers, ContentType: f.cfg.ContentType, Body: f.cfg.Body,
			Username: f.cfg.Username, Password: string(f.cfg.Password), Token: string(f.cfg.Token), HMAC: string(f.cfg.HMAC), Secret: string(f.cfg.CallbackSecret), ID: f.cfg.ID,
			DLR: smshttp.WebhookDLR{ID: f.cfg.DLR.ID, Ref: f.cfg.DLR.Ref, State: f.cfg.DLR.State, Map: f.cfg.DLR.Map},
			MO:  smshttp.WebhookMO{From: f.cfg.MO.From, To: f.cfg.MO.To, Text: f.cfg.MO.Text, ID: f.cfg.MO.ID}, CallbackURL: f.url, AllowPrivate: f.cfg.AllowPrivate,
			Number: contacts.Number(f.cfg.Number), Window: f.cfg.Window, Rate: float64(f.cfg.Rate), Response: f.sms.ResponseTimeout.Std(), Wire: f.wire, Log: f.log,
		})
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
