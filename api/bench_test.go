package api_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
)

// A scrap is a http.ResponseWriter that costs nothing itself.
type scrap struct {
	header http.Header
	code   int
}

func (s *scrap) Header() http.Header         { return s.header }
func (s *scrap) Write(b []byte) (int, error) { return len(b), nil }
func (s *scrap) WriteHeader(code int)        { s.code = code }

// BenchmarkPost is what POST /to/{address} costs behind net/http: guards, login, engine, a store in memory, and the answer. The recipient is away.
func BenchmarkPost(b *testing.B) {
	d := openDesk(b, func(e *delivery.Config, _ *api.Config) { e.Inbox = 1 << 30 })
	d.add("boiler")
	body := bytes.NewReader(bytes.Repeat([]byte("x"), 128))
	r := httptest.NewRequest("POST", "/to/boiler", body)
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Content-Type", "text/plain")
	r.SetBasicAuth(ann, d.tokens[ann])
	r.RemoteAddr = "127.0.0.1:50000"
	h, w := d.api.Public(), &scrap{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = body.Seek(0, io.SeekStart)
		clear(w.header)
		if h.ServeHTTP(w, r); w.code != http.StatusAccepted {
			b.Fatalf("%d", w.code)
		}
	}
}

// BenchmarkLogin is what a token costs over HTTP.
func BenchmarkLogin(b *testing.B) {
	d := openDesk(b)
	basic := httptest.NewRequest("POST", "/", strings.NewReader(""))
	basic.SetBasicAuth(ann, d.tokens[ann])
	bearer := httptest.NewRequest("POST", "/", strings.NewReader(""))
	bearer.Header.Set("Authorization", "Bearer "+d.tokens[ann])
	for name, r := range map[string]*http.Request{"basic": basic, "bearer": bearer} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if l, err := d.api.Login(r); err != nil || l.Address != ann {
					b.Fatal(l, err)
				}
			}
		})
	}
}
