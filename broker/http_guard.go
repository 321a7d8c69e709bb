package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-7a41469f/godwit/config"
)

// hostGuard lets pass what names this broker by its address, localhost or its public name. A web page whose name an attacker points at
// our address (DNS rebinding) sends that name, and pages of other origins send theirs.
func hostGuard(publicURL string, next http.Handler) http.Handler {
	public := ""
	if u, err := url.Parse(publicURL); err == nil {
		public = u.Hostname()
	}
	known := func(hostport string) bool {
		host := hostname(hostport)
		return host == "localhost" || public != "" && strings.EqualFold(host, public) || net.ParseIP(host) != nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !known(r.Host) {
			writeProblem(w, problem(http.StatusMisdirectedRequest, CodeForbidden, "this broker is not called %q; its name is in listen.public_url", r.Host))
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			u, err := url.Parse(origin)
			if err != nil || u.Host != r.Host {
				writeProblem(w, problem(http.StatusForbidden, CodeForbidden, "requests of other origins are not answered"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

// tokenGuard lets pass what carries the admin token.
func tokenGuard(token func() config.Secret, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hasToken(r, token()) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="godwit"`)
			writeProblem(w, problem(http.StatusUnauthorized, CodeUnauthorized, "the admin token is missing or wrong"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// metricsGuard lets pass what comes from this machine or carries the admin token.
func metricsGuard(token func() config.Secret, next http.Handler) http.Handler {
	guarded := tokenGuard(token, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if config.IsLoopback(r.RemoteAddr) {
			next.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// hasToken compares hashes, so that the time taken says nothing about the token, not even its length.
func hasToken(r *http.Request, token config.Secret) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return ok && token != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
