package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// known lets pass what names this broker by its address, localhost or its public name. A web page whose name an attacker points at our address
// (DNS rebinding) sends that name, and pages of other origins send theirs. X-Forwarded-Host is not looked at: anybody can send one.
func (a *API) known(next http.Handler) http.Handler {
	public, own := "", ""
	if u, err := url.Parse(a.cfg.PublicURL); err == nil {
		public, own = u.Hostname(), u.Host
	}
	known := func(hostport string) bool {
		host := hostname(hostport)
		return host == "localhost" || public != "" && strings.EqualFold(host, public) || isIP(host)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !known(r.Host):
			a.refuse(w, r, RefusedHost, NewProblem(http.StatusMisdirectedRequest, CodeForbidden, "this broker is not called %q; its name is in listen.public_url", r.Host))
		case !ownOrigin(r, own):
			a.refuse(w, r, RefusedOrigin, NewProblem(http.StatusForbidden, CodeForbidden, "requests of other origins are not answered"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func isIP(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == ""
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// ownOrigin reports whether a request comes from no web page of somebody else: by Origin (RFC 6454 §7), or by Sec-Fetch-Site, which a browser sends
// where it sends no Origin. A link that somebody follows to a page of ours is no request of theirs.
// Behind a proxy that sends another Host, the origin of our own pages is that of listen.public_url.
func ownOrigin(r *http.Request, public string) bool {
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host && (u.Host != public || public == "") {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
	return true
}

// secure refuses tokens that others on the way can read, before they are looked at: over plain HTTP from another machine, and in URLs, which end up in logs.
func (a *API) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "" && !a.private(r):
			a.refuse(w, r, RefusedInsecure, NewProblem(http.StatusForbidden, CodeInsecure,
				"a token over plain HTTP can be read on the way, and counts as lost; use https, or set listen.behind_proxy where a proxy ends TLS"))
		case tokenInURL(r.URL):
			a.refuse(w, r, RefusedInsecure, NewProblem(http.StatusForbidden, CodeInsecure,
				"a token in a URL ends up in logs, and counts as lost; revoke it, and send the new one in the Authorization header"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// private reports whether nobody on the way can read a request.
func (a *API) private(r *http.Request) bool {
	return Secure(r) || a.cfg.BehindProxy || peer(r).IsLoopback()
}

// tokenInURL reports whether a query has a credential. Carriers prove themselves by ?key=, and their texts are no parameters of ours.
func tokenInURL(u *url.URL) bool {
	if u.RawQuery == "" || strings.HasPrefix(u.Path, "/gateway/") {
		return false
	}
	for name, values := range u.Query() {
		switch strings.ToLower(name) {
		case "token", "access_token", "auth", "authorization", "password":
			return true
		}
		for _, v := range values {
			if strings.HasPrefix(v, "gw_") {
				return true
			}
		}
	}
	return false
}

// peer is who asks, past a proxy that is trusted; of a unix socket it is invalid.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// ofOperator guards /v1/admin on the HTTP port: without a token configured there is none.
func (a *API) ofOperator(next http.Handler) http.Handler {
	guarded := a.withToken(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v1/admin" && !strings.HasPrefix(r.URL.Path, "/v1/admin/"):
			next.ServeHTTP(w, r)
		case *a.token.Load() == "":
			a.Fail(w, r, NewProblem(http.StatusNotFound, CodeNotFound, "the operator's API is closed on this port; configure admin.token, or use the socket of listen.admin"))
		default:
			guarded.ServeHTTP(w, r)
		}
	})
}

// withToken lets pass what carries the admin token.
func (a *API) withToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.blocked(w, r) {
			return
		}
		if !hasToken(r, *a.token.Load()) {
			a.failed(r)
			a.Fail(w, r, NewProblem(http.StatusUnauthorized, CodeUnauthorized, "the admin token is missing or wrong").With("WWW-Authenticate", `Bearer realm="godwit admin"`))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// metricsGuard lets /metrics pass to this machine and to what carries the admin token.
func (a *API) metricsGuard(next http.Handler) http.Handler {
	guarded := a.withToken(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && !peer(r).IsLoopback() {
			guarded.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hasToken compares hashes, so that the time taken says nothing about the token, not even its length.
func hasToken(r *http.Request, token string) bool {
	given, ok := bearer(r)
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return ok && token != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// bearer returns the token of an Authorization header (RFC 6750 §2.1).
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}
