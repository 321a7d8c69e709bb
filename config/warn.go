package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"
)

// expiresSoon is how long before its end a certificate is warned about.
const expiresSoon = 14 * 24 * time.Hour

// Warnings returns what is allowed and probably not meant, with its place; now is by what certificates are judged.
func (s *Source) Warnings(now time.Time) []Problem {
	c := s.Config
	w := warner{checker{}, s}
	w.unpriced(c.SMS)
	w.certificate(c, now)
	w.readable(c)
	w.plain(c.Listen)
	w.idle()
	problems, _ := s.Place(w.problems).(Problems)
	return problems
}

// A warner collects warnings as a checker does problems.
type warner struct {
	checker
	s *Source
}

// unpriced warns of what is let out and denied all the same, because a budget cannot count what has no price.
func (w *warner) unpriced(s SMS) {
	if s.Budget == (Budget{}) {
		return
	}
	warn := func(key, p string) {
		whom := fmt.Sprintf("numbers that begin with %s", p)
		if p == "*" {
			whom = "all numbers that no other price is for"
		}
		w.fail(key, "%s have no price, and with a budget they get no SMS (prefix_denied); set sms.price.%s", whom, p)
	}
	for i, p := range s.Allow {
		if !priced(s.Price, p) {
			warn(fmt.Sprintf("sms.allow[%d]", i), p)
		}
	}
	for i, r := range s.Routes {
		if r.Prefix != "*" && !slices.Contains(s.Allow, r.Prefix) && allowed(s, r.Prefix) && !priced(s.Price, r.Prefix) {
			warn(fmt.Sprintf("sms.routes[%d].prefix", i), r.Prefix)
		}
	}
}

// priced reports whether each number with a prefix has a price.
func priced(price map[string]Money, p string) bool {
	_, all := price["*"]
	return all || p != "*" && longest(slices.Collect(maps.Keys(price)), p) >= 0
}

func allowed(s SMS, p string) bool { return longest(s.Allow, p) > longest(s.Deny, p) }

// longest returns the length of the longest of the prefixes that all numbers with the prefix p have: 0 for "*", -1 for none.
func longest(prefixes []string, p string) int {
	most := -1
	for _, q := range prefixes {
		if q == "*" {
			most = max(most, 0)
		} else if strings.HasPrefix(p, q) {
			most = max(most, len(q))
		}
	}
	return most
}

func (w *warner) certificate(c Config, now time.Time) {
	t := c.Listen.TLS
	host := ""
	if u, err := url.Parse(c.Listen.PublicURL); err == nil && u.Scheme == "https" && !c.Listen.BehindProxy {
		host = u.Hostname()
	}
	if t.Auto != "" && host != "" && !strings.EqualFold(t.Auto, host) {
		w.fail("listen.tls.auto", "gets a certificate for %s, and listen.public_url is on %s", t.Auto, host)
	}
	if t.CertFile == "" {
		return
	}
	leaf, err := firstCertificate(t.CertFile)
	if err != nil {
		return // Check has read it; it has just been replaced
	}
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		w.fail("listen.tls.cert_file", "has expired on %s; clients refuse it", leaf.NotAfter.Format(time.DateOnly))
	case left < expiresSoon:
		w.fail("listen.tls.cert_file", "expires on %s, in %d days; put the new one in its place", leaf.NotAfter.Format(time.DateOnly), int(left.Hours()/24))
	}
	if now.Before(leaf.NotBefore) {
		w.fail("listen.tls.cert_file", "is not valid before %s; clients refuse it until then", leaf.NotBefore.Format(time.DateTime))
	}
	if host != "" && leaf.VerifyHostname(host) != nil {
		w.fail("listen.tls.cert_file", "is not for %s, the host of listen.public_url, but for %s", host, strings.Join(slices.Concat(leaf.DNSNames, addresses(leaf.IPAddresses)), ", "))
	}
}

func addresses(ips []net.IP) (texts []string) {
	for _, ip := range ips {
		texts = append(texts, ip.String())
	}
	return texts
}

func firstCertificate(file Path) (*x509.Certificate, error) {
	text, err := os.ReadFile(string(file))
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
}

// readable warns of secrets that other users of the machine can read.
func (w *warner) readable(c Config) {
	if runtime.GOOS == "windows" {
		return // its permissions are not in the mode of a file
	}
	files := maps.Clone(w.s.r.files)
	if c.Listen.TLS.KeyFile != "" {
		files["listen.tls.key_file"] = string(c.Listen.TLS.KeyFile)
	}
	for _, key := range slices.Sorted(maps.Keys(files)) {
		if mode, others := openToOthers(files[key]); others {
			w.fail(key, "%s can be read by others (mode %04o); chmod 600 it", files[key], mode)
		}
	}
	mode, others := openToOthers(w.s.r.source)
	if key := w.inline(); others && key != "" {
		w.fail(key, "is a secret in a file that others can read (mode %04o); chmod 600 %s, or move it to a file of its own: %s%s", mode, w.s.r.source, key, fileSuffix)
	}
}

func openToOthers(file string) (mode os.FileMode, others bool) {
	info, err := os.Stat(file)
	if err != nil || file == "" {
		return 0, false
	}
	mode = info.Mode().Perm()
	return mode, mode&0o077 != 0
}

// inline returns the key of a secret that stands in the configuration file itself, the first one; empty: none does.
func (w *warner) inline() string {
	var found []string
	secretsBelow(reflect.ValueOf(w.s.Config), "", "", func(v reflect.Value, path, _ string) {
		if v.Len() > 0 && w.s.r.origins[path].line > 0 {
			found = append(found, path)
		}
	})
	slices.Sort(found)
	return strings.Join(found[:min(len(found), 1)], "")
}

// plain warns of doors on which logins can be read on the way.
func (w *warner) plain(l Listen) {
	if l.MQTT != "" && !IsLoopback(l.MQTT) && !l.ProxyProtocol {
		w.fail("listen.mqtt", "%s can be reached from other machines, and tokens and texts can be read on the way; use listen.mqtts, or 127.0.0.1 behind a proxy that ends TLS", l.MQTT)
	}
	if l.HTTP != "" && !IsLoopback(l.HTTP) && !l.BehindProxy && l.TLS.CertFile == "" && l.TLS.Auto == "" {
		w.fail("listen.http", "%s can be reached from other machines without TLS, so tokens are refused there; set listen.tls, or listen.behind_proxy where a proxy ends TLS", l.HTTP)
	}
}

// idle warns of keys that are set and do nothing in this version.
func (w *warner) idle() {
	for _, path := range slices.Sorted(maps.Keys(w.s.r.origins)) {
		if strings.HasPrefix(path, "contacts.") && path != "contacts.changes_per_day" || path == "registration.code_ttl" || path == "cluster.replicas" {
			w.fail(path, "does nothing in this version")
		}
	}
}
