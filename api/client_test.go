package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
)

// whoAsks is what a handler behind a proxy sees of a request.
func whoAsks(header http.Header) (from string, secure bool) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header, r.RemoteAddr = header, "127.0.0.1:4711" // the proxy
	api.Forwarded(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from, secure = r.RemoteAddr, api.Secure(r) })).ServeHTTP(nil, r)
	return from, secure
}

// Only what the proxy itself has appended is believed.
func TestForwarded(t *testing.T) {
	for name, c := range map[string]struct {
		header http.Header
		from   string
		secure bool
	}{
		"one":                  {http.Header{"X-Forwarded-For": {"192.0.2.7"}}, "192.0.2.7:0", false},
		"the client claims":    {http.Header{"X-Forwarded-For": {"127.0.0.1, 192.0.2.7"}}, "192.0.2.7:0", false},
		"two fields":           {http.Header{"X-Forwarded-For": {"127.0.0.1", "::1,192.0.2.7 "}}, "192.0.2.7:0", false},
		"with a port":          {http.Header{"X-Forwarded-For": {"192.0.2.7:1234"}}, "192.0.2.7:0", false},
		"IPv6":                 {http.Header{"X-Forwarded-For": {"2001:db8::1"}}, "[2001:db8::1]:0", false},
		"IPv6 in brackets":     {http.Header{"X-Forwarded-For": {"[2001:db8::1]:99"}}, "[2001:db8::1]:0", false},
		"mapped":               {http.Header{"X-Forwarded-For": {"::ffff:192.0.2.7"}}, "192.0.2.7:0", false},
		"none":                 {http.Header{}, "0.0.0.0:0", false},
		"no address":           {http.Header{"X-Forwarded-For": {"192.0.2.7, unknown"}}, "0.0.0.0:0", false},
		"empty at the end":     {http.Header{"X-Forwarded-For": {"192.0.2.7,"}}, "0.0.0.0:0", false},
		"https":                {http.Header{"X-Forwarded-Proto": {"https"}}, "0.0.0.0:0", true},
		"https, says a client": {http.Header{"X-Forwarded-Proto": {"https, http"}}, "0.0.0.0:0", false},
	} {
		if from, secure := whoAsks(c.header); from != c.from || secure != c.secure {
			t.Errorf("%s: %s, %v", name, from, secure)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("127.0.0.1, 192.0.2.7", "https")
	f.Add("[fe80::1%eth0]:80", "http")
	f.Fuzz(func(t *testing.T, list, proto string) {
		from, _ := whoAsks(http.Header{"X-Forwarded-For": {list}, "X-Forwarded-Proto": {proto}})
		if _, err := netip.ParseAddrPort(from); err != nil {
			t.Errorf("%q became %q", list, from)
		}
	})
}
