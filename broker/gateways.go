package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/console"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
	"github.com/seed-7a41469f/godwit/sms/spool"
)

// gatewaysOf makes the gateways of a configuration that passed Check. They connect to nothing before they run. The error is config.Problems: all
// that is wrong, by the keys of the gateways' names.
func gatewaysOf(cfg config.Config, opt Options, raw zerolog.Logger) (gateways []*meter, err error) {
	var problems config.Problems
	for i, g := range cfg.SMS.Gateways {
		f := fittings{
			cfg: g, sms: cfg.SMS, opt: opt, log: opt.Log.With().Str("part", "sms").Logger(), wire: wireOf(raw, g.Name),
		}
		if cfg.Listen.HTTP != "" {
			f.url = callbackURL(cfg, g.Name)
		}
		made, err := f.make()
		if err != nil {
			problems = append(problems, config.Problem{Key: fmt.Sprintf("sms.gateways[%d].name", i), Message: g.Name + ": " + strings.TrimPrefix(err.Error(), "gateway "+g.Name+": ")})
			continue
		}
		gateways = append(gateways, &meter{Gateway: made, kind: g.Kind, wire: f.wire})
	}
	if problems != nil {
		return nil, problems
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
	url  string // of its callbacks, without /dlr and /mo; empty: listen.http is off
}

func (f fittings) make() (sms.Gateway, error) {
	g := f.cfg
	switch g.Kind {
	case config.KindConsole:
		return console.New(console.Config{Name: g.Name, Out: f.opt.SMS, JSON: f.opt.JSON}), nil
	case config.KindTest:
		return smstest.NewGateway(g.Name, g.URL), nil
	case config.KindSMPP:
		return f.smpp()
	case config.KindGammu:
		return spool.NewGammu(spool.GammuConfig{
			Name: g.Name, Dir: string(g.Dir), Number: contacts.Number(f.sms.AnswersTo(g)), Response: max(f.response(), modemResponse), Wire: f.wire, Log: f.log,
		})
	case config.KindKannel:
		return smshttp.NewKannel(smshttp.KannelConfig{
			Name: g.Name, URL: g.URL, Username: g.Username, Password: string(g.Password), Secret: string(g.CallbackSecret), CallbackURL: f.url, SMSC: g.SMSC,
			Number: contacts.Number(g.Number), Window: g.Window, Rate: float64(g.Rate), Response: f.response(), Wire: f.wire, Log: f.log,
		})
	case config.KindTwilio:
		return smshttp.NewTwilio(smshttp.TwilioConfig{
			Name: g.Name, URL: g.URL, Account: g.Account, Token: string(g.Token), CallbackURL: f.url,
			Number: contacts.Number(g.Number), Window: g.Window, Rate: float64(g.Rate), Response: f.response(), Wire: f.wire, Log: f.log,
		})
	}
	return f.webhook()
}

// modemResponse is how long a modem may take at least: it sends a segment in some seconds, and smsd looks into its folder only now and then.
const modemResponse = 2 * time.Minute

func (f fittings) response() time.Duration { return f.sms.ResponseTimeout.Std() }

func (f fittings) smpp() (sms.Gateway, error) {
	g := f.cfg
	encryption, err := f.tls()
	if err != nil {
		return nil, err
	}
	bases := map[string]smpp.IDBase{"text": smpp.Text, "hex": smpp.Hex, "decimal": smpp.Decimal}
	forms := map[string]smpp.Concat{"udh8": smpp.UDH8, "udh16": smpp.UDH16, "sar": smpp.SAR, "payload": smpp.Payload}
	return smpp.New(smpp.Config{
		Name: g.Name, Addr: g.Addr, TLS: encryption, Pair: g.Bind == "pair", SystemID: g.SystemID, Password: string(g.Password), SystemType: g.SystemType,
		Sessions: g.Sessions, Window: g.Window, Rate: float64(g.Rate), Enquire: g.Enquire.Std(), Response: f.response(), Concat: forms[g.Concat],
		ResponseID: bases[g.ResponseID], ReceiptID: bases[g.ReceiptID], Wire: f.wire, Log: f.log,
	})
}

// webhook makes a gateway of kind webhook or of a preset of it. What has neither a key nor a secret for callbacks only sends.
func (f fittings) webhook() (sms.Gateway, error) {
	g := f.cfg
	c := smshttp.WebhookConfig{
		Name: g.Name, URL: g.URL, Method: g.Method, ContentType: g.ContentType, Body: g.Body, Username: g.Username, Password: string(g.Password),
		Token: string(g.Token), Auth: g.Auth, HMAC: string(g.HMAC), Signature: smshttp.Signature(g.Signature), Secret: string(g.CallbackSecret),
		ID: g.ID, Code: g.Code, OK: g.OK, Event: g.Event, Reply: g.Reply, CallbackURL: f.url, AllowPrivate: g.AllowPrivate,
		DLR:    smshttp.WebhookDLR{ID: g.DLR.ID, Ref: g.DLR.Ref, State: g.DLR.State, Map: g.DLR.Map, To: g.DLR.To, Time: g.DLR.Time, Detail: g.DLR.Detail},
		MO:     smshttp.WebhookMO{Event: g.MO.Event, From: g.MO.From, To: g.MO.To, Text: g.MO.Text, ID: g.MO.ID, Time: g.MO.Time, Hex: g.MO.Hex, Coding: g.MO.Coding},
		Number: contacts.Number(g.Number), Window: g.Window, Rate: float64(g.Rate), Response: f.response(), Wire: f.wire, Log: f.log,
	}
	for name, value := range g.Headers {
		if c.Headers == nil {
			c.Headers = map[string]string{}
		}
		c.Headers[name] = string(value)
	}
	for word, class := range g.Classes {
		if c.Classes == nil {
			c.Classes = map[string]sms.Class{}
		}
		c.Classes[word] = sms.Class(slices.Index(resultNames[:], class))
	}
	if g.Kind != config.KindWebhook {
		preset, ok := smshttp.Preset(g.Kind)
		if !ok {
			return nil, fmt.Errorf("there is no kind %q", g.Kind)
		}
		c = c.Over(preset)
	}
	if c.HMAC == "" && c.Secret == "" || f.url == "" {
		c.DLR, c.MO, c.Event = smshttp.WebhookDLR{}, smshttp.WebhookMO{}, ""
	}
	if c.MO.From != "" && c.MO.To == "" {
		c.Number = contacts.Number(f.sms.AnswersTo(g))
	}
	made, err := smshttp.NewWebhook(c)
	if err != nil || c.DLR.State != "" || c.MO.From != "" {
		return made, err
	}
	return unheard{made}, nil
}

// unheard is a gateway whose carrier does not call us, though it could.
type unheard struct{ sms.Gateway }

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
