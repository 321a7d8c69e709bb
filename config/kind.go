package config

import (
	"slices"
	"time"
)

// The kinds of gateways.
const (
	KindConsole      = "console"      // prints
	KindSMPP         = "smpp"         // SMPP 3.4
	KindKannel       = "kannel"       // Kannel's sendsms
	KindTwilio       = "twilio"       // Twilio's messages API
	KindWebhook      = "webhook"      // any other HTTP API
	KindJasmin       = "jasmin"       // webhook preset: Jasmin's HTTP API
	KindSMSGate      = "smsgate"      // webhook preset: a phone with SMS Gateway for Android
	KindHTTPSMS      = "httpsms"      // webhook preset: a phone with httpSMS
	KindSMSForwarder = "smsforwarder" // webhook preset: a phone with SmsForwarder
	KindGammu        = "gammu"        // modems, by gammu-smsd's FILES service
	KindTest         = "smstest"      // the SMSC of tests
)

// A Kind says which keys a gateway of it has beside name and kind; a secret may also be given as _file.
type Kind struct {
	Name     string
	Required []string
	Optional []string
	Default  Gateway // what stands for the keys that the file does not name
}

var webhookKeys = []string{
	"url", "username", "password", "token", "auth", "hmac", "signature", "callback_secret", "method", "headers", "content_type", "body", "id", "code", "ok", "classes",
	"event", "dlr", "mo", "reply", "allow_private",
	"number", "window", "rate",
}

// kinds is the table of all kinds. What a webhook or one of its presets has no value for here, package smshttp knows.
var kinds = []Kind{
	{Name: KindConsole},
	{
		Name: KindSMPP, Required: []string{"addr", "system_id"},
		Optional: []string{"password", "bind", "system_type", "tls", "tls_ca_file", "sessions", "window", "rate", "enquire", "concat", "response_id", "receipt_id"},
		Default: Gateway{
			Window: 10, Bind: "transceiver", Sessions: 1, Enquire: Duration(30 * time.Second), Concat: "udh8", ResponseID: "text", ReceiptID: "text",
		},
	},
	{
		Name: KindKannel, Required: []string{"url", "username", "password", "callback_secret"}, Optional: []string{"smsc", "number", "window", "rate"},
		Default: Gateway{Window: 10},
	},
	{
		Name: KindTwilio, Required: []string{"account", "token"}, Optional: []string{"url", "number", "window", "rate"},
		Default: Gateway{URL: "https://api.twilio.com", Window: 10},
	},
	webhookKind(KindWebhook, 10, "url"),
	webhookKind(KindJasmin, 10, "url", "username", "password"),
	webhookKind(KindSMSGate, 1, "username", "password"),
	webhookKind(KindHTTPSMS, 1, "token", "number"),
	webhookKind(KindSMSForwarder, 1, "url"),
	{Name: KindGammu, Required: []string{"dir"}, Optional: []string{"number"}},
	{Name: KindTest, Required: []string{"url"}},
}

// webhookKind is kind webhook or one of its presets, which know the other side already.
func webhookKind(name string, window int, required ...string) Kind {
	optional := slices.DeleteFunc(slices.Clone(webhookKeys), func(key string) bool { return slices.Contains(required, key) })
	return Kind{Name: name, Required: required, Optional: optional, Default: Gateway{Window: window}}
}

// Kinds returns all kinds of gateways.
func Kinds() []Kind { return slices.Clone(kinds) }

// DefaultGateway returns a gateway with the defaults of its kind.
func DefaultGateway(kind, name string) Gateway {
	k, _ := kindOf(kind)
	g := k.Default
	g.Name, g.Kind = name, kind
	return g
}

func kindOf(name string) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// keys lists all keys of the kind.
func (k Kind) keys() []string { return slices.Concat([]string{"name", "kind"}, k.Required, k.Optional) }
