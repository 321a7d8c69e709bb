package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	tmpl "text/template/parse"
)

func (c *checker) gateways(s SMS) {
	gateways := s.Gateways
	for i, g := range gateways {
		key := fmt.Sprintf("sms.gateways[%d]", i)
		if !gatewayName.MatchString(g.Name) {
			c.fail(key+".name", "%q is not a name; write up to 32 of a-z, 0-9, _ and -, a letter first", g.Name)
		}
		if slices.ContainsFunc(gateways[:i], func(o Gateway) bool { return o.Name == g.Name }) {
			c.fail(key+".name", "%q is the name of an earlier gateway too", g.Name)
		}
		k, ok := kindOf(g.Kind)
		if !ok {
			c.fail(key+".kind", "%q is not a kind of gateway%s", g.Kind, meant(g.Kind, kindNames()))
			continue
		}
		c.gateway(key, g, k)
		c.answers(key, g, s)
	}
}

// kindNames lists the kinds that one may want.
func kindNames() (names []string) {
	for _, k := range kinds {
		if k.Name != KindTest {
			names = append(names, k.Name)
		}
	}
	return names
}

func (c *checker) gateway(key string, g Gateway, k Kind) {
	c.keysOfKind(key, g, k)
	if g.Number != "" {
		c.number(key+".number", g.Number)
	}
	switch k.Name {
	case KindConsole, KindGammu:
	case KindTest:
		if u, err := url.Parse(g.URL); err != nil || u.Scheme != "http" || !IsLoopback(u.Host) {
			c.fail(key+".url", "%q is not a URL such as http://127.0.0.1:1234", g.URL)
		}
	case KindSMPP:
		c.smpp(key, g)
	case KindKannel, KindTwilio:
		c.url(key+".url", g.URL, false)
	default:
		c.webhook(key, g)
	}
}

// keysOfKind checks that a gateway has what its kind needs and nothing else, and the bounds of what is not the default.
func (c *checker) keysOfKind(path string, g Gateway, k Kind) {
	v, defaults, keys := reflect.ValueOf(g), reflect.ValueOf(k.Default), k.keys()
	for i := range v.NumField() {
		field, f := v.Field(i), v.Type().Field(i)
		name := keyOf(f)
		key := join(path, name)
		switch {
		case name == "name" || name == "kind":
		case !slices.Contains(keys, name):
			if !field.IsZero() {
				c.fail(key, "%s", notOfKind(k.Name, keys))
			}
		case slices.Contains(k.Required, name) && field.IsZero():
			if f.Type == secretType {
				name += " or " + name + fileSuffix
			}
			c.fail(key, "is missing; kind %s needs %s", k.Name, name)
		case !field.Comparable() || !field.Equal(defaults.Field(i)):
			c.bounds(field, f.Tag, key)
		}
	}
}

// The lengths that SMPP 3.4 §5.2.1 and §5.2.3 allow, without the NUL at the end. The password's would be 8, but there are SMSCs with longer ones.
const (
	maxSystemID   = 15
	maxPassword   = 64
	maxSystemType = 12
)

func (c *checker) smpp(key string, g Gateway) {
	if host, port, err := net.SplitHostPort(g.Addr); g.Addr != "" && (err != nil || badAddress(g.Addr) != nil || host == "" || strings.Trim(port, "0") == "") {
		c.fail(key+".addr", "%q is not the address of an SMSC; write host:port such as smsc.example.org:2775", g.Addr)
	}
	for _, t := range []struct {
		key, text string
		most      int
	}{{"system_id", g.SystemID, maxSystemID}, {"password", string(g.Password), maxPassword}, {"system_type", g.SystemType, maxSystemType}} {
		if len(t.text) > t.most || strings.ContainsFunc(t.text, func(r rune) bool { return r < ' ' || r > '~' }) {
			c.fail(join(key, t.key), "is not what SMPP can carry: at most %d characters of ASCII; it has %d octets", t.most, len(t.text))
		}
	}
	if g.TLSCAFile == "" {
		return
	}
	if !g.TLS {
		c.fail(key+".tls_ca_file", "is not used without tls: true")
	}
	c.authorities(key+".tls_ca_file", g.TLSCAFile)
}

// webhook checks kind webhook and its presets, which know the other side's words and say what is missing themselves.
func (c *checker) webhook(key string, g Gateway) {
	c.url(key+".url", g.URL, !g.AllowPrivate)
	for name, text := range map[string]string{"url": g.URL, "body": g.Body} {
		if err := templateSyntax(text); err != nil {
			c.fail(join(key, name), "is not a template: %v", err)
		}
	}
	if g.Method == "GET" && g.Body != "" {
		c.fail(key+".body", "is not sent with method GET; put the fields into the url, as in ?to={{.To}}, or use POST")
	}
	c.paths(key, g)
	c.headers(key, g.Headers)
	if g.Kind == KindWebhook {
		c.callbacks(key, g)
	}
	if (!reflect.ValueOf(g.DLR).IsZero() || g.MO != CallbackMO{}) && g.CallbackSecret == "" && g.HMAC == "" {
		c.fail(key+".callback_secret", "is missing: anybody could forge delivery reports and answers. Set callback_secret_file, or hmac_file when the other side signs its callbacks")
	}
}

func (c *checker) paths(key string, g Gateway) {
	for name, path := range map[string]string{
		"id": g.ID, "dlr.id": g.DLR.ID, "dlr.state": g.DLR.State, "dlr.ref": g.DLR.Ref, "mo.from": g.MO.From, "mo.to": g.MO.To, "mo.text": g.MO.Text, "mo.id": g.MO.ID,
	} {
		if expression := name == "id" && strings.HasPrefix(path, "/"); path != "" && !expression && !strings.HasPrefix(path, "$") {
			c.fail(join(key, name), `%q is not a JSON path; it begins with $, as in "$.message.id"`, path)
		}
	}
	for word, state := range g.DLR.Map {
		if !slices.Contains([]string{"delivered", "undelivered", "enroute"}, state) {
			c.fail(key+".dlr.map."+word, "%q is none of delivered, undelivered, enroute", state)
		}
	}
}

// callbacks checks that kind webhook says all that nobody else knows.
func (c *checker) callbacks(key string, g Gateway) {
	if d := g.DLR; !reflect.ValueOf(d).IsZero() && (d.State == "" || d.ID == "" && d.Ref == "") {
		c.fail(key+".dlr", "needs state, and id or ref: which SMS is it about, and what became of it?")
	}
	if g.DLR.ID != "" && g.ID == "" {
		c.fail(key+".dlr.id", "is compared with the id in the answer to a submit; set id too")
	}
	if m := g.MO; m != (CallbackMO{}) && (m.From == "" || m.Text == "") {
		c.fail(key+".mo", "needs from and text")
	}
}

// answers checks that it is known to which of our numbers an MO came that does not say so.
func (c *checker) answers(key string, g Gateway, s SMS) {
	takes := g.MO.From != "" || g.Kind == KindGammu
	if g.Kind == KindSMSGate || g.Kind == KindSMSForwarder {
		takes = g.HMAC != "" || g.CallbackSecret != ""
	}
	if takes && g.MO.To == "" && s.AnswersTo(g) == "" {
		c.fail(key+".number", "is missing: an answer does not say to which number it came, and sms.numbers has %d; set number%s", len(s.Numbers), orTold(g.Kind))
	}
}

func orTold(kind string) string {
	if kind == KindGammu {
		return ", that of its SIM card"
	}
	return ", or mo.to where the other side tells it"
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110 §5.1

func (c *checker) headers(path string, headers map[string]Secret) {
	lower := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, key := headers[name], path+".headers."+name
		switch first, twice := lower[strings.ToLower(name)]; {
		case !headerName.MatchString(name):
			c.fail(key, "%q is not the name of a header", name)
		case strings.ContainsFunc(string(value), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }):
			c.fail(key, "has a control character; a header is one line")
		case strings.EqualFold(name, "content-type"):
			c.fail(key, "is set by content_type")
		case slices.Contains([]string{"host", "content-length", "transfer-encoding", "connection"}, strings.ToLower(name)):
			c.fail(key, "is set by HTTP itself; leave it out")
		case twice:
			c.fail(key, "is the header %s again; case does not count", first)
		}
		lower[strings.ToLower(name)] = name
	}
}

var action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

// url checks where requests go. With guard, addresses that only this machine or its networks reach are refused, as the gateway does it when it
// knows the address of a name.
func (c *checker) url(key, text string, guard bool) {
	if text == "" {
		return // it is missing, or the default
	}
	const filled = "godwit.filled-in"
	u, err := url.Parse(action.ReplaceAllString(text, filled))
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment != "":
		c.fail(key, "%q is not a URL such as https://sms.example.org/send", text)
	case u.User != nil:
		c.fail(key, "has a login in it, which would be shown; use username and password_file")
	case strings.Contains(u.Host, filled):
		c.fail(key, "%q has a template in its host; where an SMS goes is not for the message to say", text)
	case guard && isPrivate(u.Hostname()):
		c.fail(key, "%s is an address of this machine or of a private network; if that is meant, set allow_private: true", u.Hostname())
	}
}

func isPrivate(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || carrierGrade.Contains(a)
}

var carrierGrade = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

// templateSyntax reads a template without knowing the functions, which belong to the gateway.
func templateSyntax(text string) error {
	t := tmpl.New("line")
	t.Mode = tmpl.SkipFuncCheck
	if _, err := t.Parse(text, "", "", map[string]*tmpl.Tree{}); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	return nil
}
