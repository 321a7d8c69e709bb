package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A door is a listener: its key and its address.
type door struct{ key, address string }

// doors are the listeners that are addresses. One that is off has an empty address.
func (l Listen) doors() []door {
	all := []door{{"listen.mqtt", l.MQTT}, {"listen.mqtts", l.MQTTS}, {"listen.http", l.HTTP}}
	if !strings.HasPrefix(l.Admin, "unix:") {
		all = append(all, door{"listen.admin", l.Admin})
	}
	return all
}

func (c *checker) auth(cfg Config) {
	switch jwt := cfg.Auth.JWT; {
	case jwt.KeyFile != "":
		c.publicKeys("auth.jwt.key_file", jwt.KeyFile)
	case cfg.Auth.Mode == ModeJWT:
		c.fail("auth.jwt.key_file", "is missing; auth.mode: jwt needs the public keys that tokens are checked with")
	case jwt.Audience != "":
		c.fail("auth.jwt.audience", "is not used without auth.jwt.key_file")
	}
	if cfg.Auth.Mode != ModeOpen {
		return
	}
	for _, proxy := range []struct {
		key string
		on  bool
	}{{"listen.behind_proxy", cfg.Listen.BehindProxy}, {"listen.proxy_protocol", cfg.Listen.ProxyProtocol}} {
		if proxy.on {
			c.fail("auth.mode", "open lets anybody in without a password, and %s says that others come through a proxy; use auth.mode: token", proxy.key)
		}
	}
	for _, d := range cfg.Listen.doors() {
		if d.address == "" || badAddress(d.address) != nil || IsLoopback(d.address) {
			continue
		}
		c.fail("auth.mode", "open lets anybody in without a password, and %s (%s) can be reached from other machines; use auth.mode: token, or a loopback address such as 127.0.0.1:1883", d.key, d.address)
	}
}

// publicKeys checks that a file has keys that a broker may have. What kinds of keys are good enough, whoever uses them says.
func (c *checker) publicKeys(key string, file Path) {
	text, err := os.ReadFile(string(file))
	if err != nil {
		c.fail(key, "%v", err)
		return
	}
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		c.fail(key, "%s holds no key in PEM form; it begins with -----BEGIN PUBLIC KEY-----", file)
	case bytes.Contains(text, []byte("PRIVATE KEY-----")):
		c.fail(key, "%s holds a private key, which stays with whoever signs the tokens; write the public one: openssl pkey -pubout", file)
	}
}

func (c *checker) listen(l Listen) {
	if l.MQTT == "" && l.MQTTS == "" && l.HTTP == "" {
		c.fail("listen.mqtt", "is off, and so are listen.mqtts and listen.http: nobody could connect; set one of them")
	}
	for _, d := range l.doors() {
		if d.address != "" && badAddress(d.address) != nil {
			c.fail(d.key, "%q is not an address; write host:port such as 127.0.0.1:1883, or :1883 for all interfaces", d.address)
		}
	}
	c.distinct(l)
	if l.BehindProxy && l.HTTP == "" {
		c.fail("listen.behind_proxy", "is about the HTTP port, and listen.http is off")
	}
	if l.PublicURL == "" {
		return
	}
	if u, err := url.Parse(l.PublicURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		c.fail("listen.public_url", "%q is not a URL such as https://push.example.org", l.PublicURL)
	}
}

// tls checks what the doors show and ask for. The certificates themselves are read, as the broker will read them.
func (c *checker) tls(l Listen) {
	t := l.TLS
	files := t.CertFile != "" || t.KeyFile != ""
	switch {
	case files && t.Auto != "":
		c.fail("listen.tls.auto", "gets certificates by ACME, and listen.tls.cert_file and key_file have one; keep one of the two")
	case t.Auto != "":
		c.acme(l)
	case t.CertFile == "" && t.KeyFile != "":
		c.fail("listen.tls.cert_file", "is missing; listen.tls.key_file is the key of a certificate")
	case t.CertFile != "" && t.KeyFile == "":
		c.fail("listen.tls.key_file", "is missing; listen.tls.cert_file needs its private key")
	case files:
		c.pair(t)
	case l.MQTTS != "":
		c.fail("listen.mqtts", "is TLS and needs a certificate: set listen.tls.cert_file and listen.tls.key_file, or listen.tls.auto")
	}
	if files && l.MQTTS == "" && l.HTTP == "" {
		c.fail("listen.tls.cert_file", "is not used: listen.mqtts and listen.http are off")
	}
	switch {
	case t.ClientCAFile == "":
	case l.MQTTS == "" && l.HTTP == "" || !files && t.Auto == "":
		c.fail("listen.tls.client_ca_file", "is not used: clients show certificates where TLS is spoken, so listen.mqtts or listen.http and a certificate of our own are needed")
	default:
		c.authorities("listen.tls.client_ca_file", t.ClientCAFile)
	}
}

func (c *checker) acme(l Listen) {
	t := l.TLS
	if !hostName(t.Auto) {
		c.fail("listen.tls.auto", "%q is not the name of a host such as push.example.org, for which a certificate can be had", t.Auto)
	}
	if l.MQTTS == "" && l.HTTP == "" {
		c.fail("listen.tls.auto", "needs a port on which ACME can see that the name is ours: set listen.http (:80 or :443) or listen.mqtts (:443), or forward these ports to them")
	}
	if u, err := url.Parse(t.ACME); err != nil || u.Scheme != "https" || u.Host == "" {
		c.fail("listen.tls.acme", "%q is not the https URL of an ACME directory, such as %s", t.ACME, LetsEncrypt)
	}
	if t.ACMECAFile != "" {
		c.authorities("listen.tls.acme_ca_file", t.ACMECAFile)
	}
}

// hostName reports whether certificates are given for a name: labels of letters, digits and hyphens (RFC 1123 §2.1), and no address.
func hostName(name string) bool {
	if len(name) > 253 || net.ParseIP(name) != nil {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool {
				return r != '-' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
			}) {
			return false
		}
	}
	return true
}

func (c *checker) pair(t TLS) {
	for _, f := range []struct {
		key  string
		path Path
	}{{"listen.tls.cert_file", t.CertFile}, {"listen.tls.key_file", t.KeyFile}} {
		if _, err := os.ReadFile(string(f.path)); err != nil {
			c.fail(f.key, "%v", err)
			return
		}
	}
	if _, err := tls.LoadX509KeyPair(string(t.CertFile), string(t.KeyFile)); err != nil {
		c.fail("listen.tls.cert_file", "does not go with listen.tls.key_file: %v", err)
	}
}

func (c *checker) authorities(key string, file Path) {
	if err := checkCertificates(file); err != nil {
		c.fail(key, "%v", err)
	}
}

// checkCertificates returns an error when a file is not one of certificates.
func checkCertificates(file Path) error {
	text, err := os.ReadFile(string(file))
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return err
}

func (c *checker) admin(cfg Config) {
	if cfg.Socket() == "" && cfg.Listen.Admin != "" && cfg.Admin.Token == "" {
		c.fail("listen.admin", "an address needs a token: set admin.token_file, or use a socket (unix:)")
	}
}

// distinct checks that no two listeners want the same address.
func (c *checker) distinct(l Listen) {
	taken := map[string]string{}
	for _, d := range l.doors() {
		place, ok := placeOf(d.address)
		if !ok {
			continue
		}
		if first, again := taken[place]; again {
			c.fail(d.key, "%q is the address of %s too; each listener needs a port of its own", d.address, first)
			continue
		}
		taken[place] = d.key
	}
}

// placeOf is the one spelling of an address; false when it is none, or has port 0, of which everybody gets another.
func placeOf(address string) (string, bool) {
	if badAddress(address) != nil {
		return "", false
	}
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.ParseUint(port, 10, 16)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "" // all interfaces
	} else if ip != nil {
		host = ip.String()
	}
	return net.JoinHostPort(strings.ToLower(host), strconv.FormatUint(number, 10)), number != 0
}

func badAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err
}

// topics checks the filters of open topics: they begin with a name, so that nobody can open what is Godwit's own, or everything.
func (c *checker) topics(t Topics) {
	for i, f := range t.Open {
		if err := openFilter(f); err != nil {
			c.fail(fmt.Sprintf("topics.open[%d]", i), "%q %v", f, err)
		}
	}
}

// longestFilter is that of package hooks, in octets.
const longestFilter = 512

// notInTopics reports whether a character is one that MQTT 5 §1.5.4 advises against, and package hooks refuses: controls, and what Unicode says is none.
func notInTopics(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Noncharacter_Code_Point, r)
}

// openFilter is the rule of package hooks: a topic filter (MQTT 5 §4.7) that begins with a name that is not one of ours.
func openFilter(f string) error {
	switch root, _, _ := strings.Cut(f, "/"); {
	case f == "" || !utf8.ValidString(f) || strings.ContainsFunc(f, notInTopics):
		return errors.New("is not a topic filter; write for example t/#")
	case len(f) > longestFilter:
		return fmt.Errorf("has %d octets, and %d are the most", len(f), longestFilter)
	case root == "to" || root == "app" || root == "sms" || root == "u":
		return fmt.Errorf("opens %s/, which is Godwit's own; choose another name, such as t/#", root)
	case f[0] == '$' || f[0] == '#' || f[0] == '+':
		return errors.New("would open more than topics of its own; begin with a name, such as t/#")
	}
	for level, rest, more := "", f, true; more; {
		level, rest, more = strings.Cut(rest, "/")
		if strings.ContainsAny(level, "+#") && len(level) > 1 || level == "#" && more {
			return errors.New("has a wildcard in the wrong place (MQTT 5 §4.7.1): + stands for a whole level, # for all that follow and at the end")
		}
	}
	return nil
}
