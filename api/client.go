package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// nobody is the address of a request of which the proxy did not say whose it is: no rule takes it for this machine.
const nobody = "0.0.0.0:0"

type securedKey struct{}

// Forwarded is a handler behind one trusted proxy (listen.behind_proxy). RemoteAddr becomes the address that the proxy has appended to
// X-Forwarded-For, which is the last one: all before it is what the client claims. Without one it is 0.0.0.0.
func Forwarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secured := strings.EqualFold(lastOf(r.Header.Values("X-Forwarded-Proto")), "https")
		r = r.WithContext(context.WithValue(r.Context(), securedKey{}, secured))
		r.RemoteAddr = nobody
		if addr, ok := addrOf(lastOf(r.Header.Values("X-Forwarded-For"))); ok {
			r.RemoteAddr = netip.AddrPortFrom(addr, 0).String()
		}
		next.ServeHTTP(w, r)
	})
}

// Secure reports whether a request came by TLS: to us, or to the proxy that says so.
func Secure(r *http.Request) bool {
	said, _ := r.Context().Value(securedKey{}).(bool)
	return said || r.TLS != nil
}

// lastOf is the last entry of a list that a header's fields make up (RFC 9110 §5.3).
func lastOf(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	last := fields[len(fields)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// addrOf reads an address, with or without a port, as proxies write it.
func addrOf(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}
