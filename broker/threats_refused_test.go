package broker_test

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/hooks"
)

// refusedElsewhere are the reasons of godwit_refused_total without a case here: "store" needs a store that fails, which hooks and api have
// (hooks.TestStoreTroubleOnMQTT5, api.TestSendThatCannotBeStored).
var refusedElsewhere = []string{"store"}

// refusedBefore is what must be refused first, once each.
var refusedBefore = map[string]string{"http_address": "http_login"}

// refusalCases makes the broker refuse one thing for each of the other reasons.
var refusalCases = map[string]func(t *testing.T, s *clienttest.Server){
	"topic":          refusedPublish("to/nobody else", 0x90),
	"not_authorized": refusedPublish("u/"+string(bert)+"/in/x/y", 0x87),
	"property":       refusedPublish("to/"+string(bert), 0x99, raw.UserProperty{Name: "sms", Value: "perhaps"}),
	"window": func(t *testing.T, s *clienttest.Server) {
		w := join(t, s, home, hello(s, raw.V5, anna, "a"))
		var all []byte
		for id := uint16(1); id <= 1025; id++ { // QoS 2, and no PUBREL
			all = raw.NewTemplate(raw.V5, "app/"+string(bert), 2).Append(all, id, false, nil)
		}
		_, _ = w.Write(all) // it may be closed while we write
		endsWith(t, w, 0x93)
	},
	"packet_size": func(t *testing.T, s *clienttest.Server) {
		w := join(t, s, home, hello(s, raw.V5, anna, "a"))
		w.send(frame(raw.V5, 1, "app/"+string(bert), 64<<10+1))
		endsWith(t, w, 0x95)
	},
	"malformed": func(t *testing.T, s *clienttest.Server) {
		w := join(t, s, home, hello(s, raw.V5, anna, "a"))
		w.send([]byte{0x30, 3, 0, 9, 'x'}) // a topic name longer than its packet
		endsWith(t, w, 0x81)
	},
	"filter": func(t *testing.T, s *clienttest.Server) {
		if code := join(t, s, home, hello(s, raw.V5, anna, "a")).subscribe("u/" + string(bert) + "/#"); code != 0x8F {
			t.Errorf("SUBACK %#x", code)
		}
	},
	"will": func(t *testing.T, s *clienttest.Server) {
		c := hello(s, raw.V5, anna, "a")
		w := dialFrom(t, s, home)
		w.send(encoded(t, packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 5, Connect: packets.ConnectParams{
				ProtocolName: []byte("MQTT"), Clean: true, ClientIdentifier: c.ClientID, UsernameFlag: true, Username: []byte(c.Username),
				PasswordFlag: true, Password: []byte(c.Password), WillFlag: true, WillTopic: "u/" + string(bert) + "/in/x/y", WillPayload: []byte("forged"),
			},
		}))
		if ack := w.expect(packets.Connack); ack.ReasonCode != 0x87 {
			t.Errorf("CONNACK %#x", ack.ReasonCode)
		}
	},
	"login": func(t *testing.T, s *clienttest.Server) {
		refusedLogin(t, s, 0x86, func(c *raw.Connect) { c.Password = s.Token(bert) })
	},
	"revoked": func(t *testing.T, s *clienttest.Server) {
		s.Token(cleo)
		s.Revoke(cleo)
		refusedLogin(t, s, 0x87, func(c *raw.Connect) { c.Username, c.Password = string(cleo), s.Token(cleo) })
	},
	"devices": func(t *testing.T, s *clienttest.Server) {
		lasting := func(device string) raw.Connect {
			c := hello(s, raw.V5, anna, device)
			c.SessionExpiry = 60
			return c
		}
		for _, device := range []string{"1", "2"} {
			join(t, s, home, lasting(device))
		}
		refusedLogin(t, s, 0x97, func(c *raw.Connect) { *c = lasting("3") })
	},
	"takeovers": func(t *testing.T, s *clienttest.Server) {
		for range 6 {
			join(t, s, home, hello(s, raw.V5, bert, "shared"))
		}
		refusedLogin(t, s, 0x9F, func(c *raw.Connect) { *c = hello(s, raw.V5, bert, "shared") })
	},
	"client_id": func(t *testing.T, s *clienttest.Server) {
		refusedLogin(t, s, 0x85, func(c *raw.Connect) { c.ClientID = "a\x1bphone" })
	},
	"disk": func(t *testing.T, s *clienttest.Server) {
		again(s, func(c *config.Config) { c.Limits.DiskFree = 1 << 50 })
		refusedPublish("to/"+string(bert), 0x97)(t, s)
	},
	"callback": func(t *testing.T, s *clienttest.Server) {
		resp, err := http.Get(s.URL() + "/gateway/kannel/dlr?key=wrong&type=1&ref=x")
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("a forged callback: %s", resp.Status)
		}
	},
	"connections": func(t *testing.T, s *clienttest.Server) {
		again(s, func(c *config.Config) { c.Limits.Connections = 1 })
		join(t, s, home, hello(s, raw.V5, anna, "a"))
		dialFrom(t, s, home).ended()
	},
	"address": func(t *testing.T, s *clienttest.Server) {
		again(s, func(c *config.Config) { c.Limits.ConnectionsPerAddress = 1 })
		const crowded = "127.0.0.2" // who reads the metrics comes from home
		silent := dialFrom(t, s, crowded)
		dialFrom(t, s, crowded).ended()
		must(t, silent.Close())
	},
	"http_login":    refusedRequest(http.StatusUnauthorized, func(r *http.Request) { r.SetBasicAuth(string(anna), "gw_guess") }),
	"http_insecure": refusedRequest(http.StatusForbidden, func(r *http.Request) { r.URL.RawQuery = "token=lost" }),
	"host":          refusedRequest(http.StatusMisdirectedRequest, func(r *http.Request) { r.Host = "rebound.example" }),
	"origin":        refusedRequest(http.StatusForbidden, func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }),
	"http_address": func(t *testing.T, s *clienttest.Server) {
		again(s, func(c *config.Config) { c.Limits.ConnectsPerAddress = 1 })
		guess := func(r *http.Request) { r.SetBasicAuth(string(anna), "gw_guess") }
		refusedRequest(http.StatusUnauthorized, guess)(t, s)
		refusedRequest(http.StatusTooManyRequests, guess)(t, s) // within the second
	},
}

// again starts the server with another configuration.
func again(s *clienttest.Server, change func(*config.Config)) {
	s.Stop()
	s.Reconfigure(change)
	s.Start()
}

// refusedRequest sends Anna's message over HTTP with a mistake.
func refusedRequest(want int, mistake func(*http.Request)) func(t *testing.T, s *clienttest.Server) {
	return func(t *testing.T, s *clienttest.Server) {
		t.Helper()
		if got := posted(t, s, "/to/"+string(bert), "refused", mistake); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
}

// posted sends a message of Anna's over HTTP, and returns the status.
func posted(t *testing.T, s *clienttest.Server, path, body string, change func(*http.Request)) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+path, strings.NewReader(body))
	must(t, err)
	req.SetBasicAuth(string(anna), s.Token(anna))
	req.Header.Set("Content-Type", "text/plain")
	if change != nil {
		change(req)
	}
	return do(t, http.DefaultClient, req, nil)
}

// TestHTTPRefusesAsMQTTDoes: what is no message counts under the same reason at both doors.
func TestHTTPRefusesAsMQTTDoes(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.Packet = 1 << 10 }))
	to := "/to/" + string(bert)
	counts := map[string]int{}
	for _, c := range []struct {
		path, body string
		status     int
		reason     string // empty: none
	}{
		{to, "taken", 202, ""},
		{"/to/nobody%20else", "refused", 400, "topic"},
		{"/sms/boiler", "refused", 400, "topic"},
		{to + "/no%20key", "refused", 400, "topic"},
		{to + "?sms=perhaps", "refused", 400, "property"},
		{to + "?expires=never", "refused", 400, "property"},
		{to + "?sms=auto&sms=never", "refused", 400, "malformed"},
		{to + "?smss=never", "refused", 400, "malformed"},
		{to, "", 400, "malformed"},
		{to, "\xff", 415, "malformed"},
		{to, strings.Repeat("x", 1<<10+1), 413, "packet_size"},
	} {
		if got := posted(t, s, c.path, c.body, nil); got != c.status {
			t.Errorf("%s %.20q: status %d, want %d", c.path, c.body, got, c.status)
		}
		if c.reason != "" {
			counts[c.reason]++
		}
		got := refusals(t, s)
		maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
		if !maps.Equal(got, counts) {
			t.Errorf("%s %.20q: counted %v, want %v", c.path, c.body, got, counts)
		}
	}
	again(s, func(c *config.Config) { c.Limits.DiskFree = 1 << 50 })
	if got := posted(t, s, to, "refused", nil); got != http.StatusInsufficientStorage {
		t.Errorf("with a full disk: status %d", got)
	}
	if n := counted(t, s, `godwit_refused_total{reason="disk"}`); n != 1 {
		t.Errorf("with a full disk: counted %d", n)
	}
}

func refusedPublish(topic string, want byte, props ...raw.UserProperty) func(t *testing.T, s *clienttest.Server) {
	return func(t *testing.T, s *clienttest.Server) {
		if code := join(t, s, home, hello(s, raw.V5, anna, "a")).publish(1, topic, "refused", props...); code != want {
			t.Errorf("PUBACK %#x, want %#x", code, want)
		}
	}
}

func refusedLogin(t *testing.T, s *clienttest.Server, want byte, change func(*raw.Connect)) {
	t.Helper()
	c := hello(s, raw.V5, anna, "a")
	change(&c)
	w := dialFrom(t, s, home)
	if ack := w.connect(c); ack.ReasonCode != want {
		t.Errorf("CONNACK %#x, want %#x", ack.ReasonCode, want)
	}
	w.ended()
}

func endsWith(t *testing.T, w *wire, code byte) {
	t.Helper()
	if last := w.ended(); last.FixedHeader.Type != packets.Disconnect || last.ReasonCode != code {
		t.Errorf("the connection ended with %s %#x, want DISCONNECT %#x", packets.PacketNames[last.FixedHeader.Type], last.ReasonCode, code)
	}
}

// TestEveryRefusalIsCounted: one refusal is one more under its reason, and under no other. Reasons are those of the code and of docs/metrics.md.
func TestEveryRefusalIsCounted(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	must(t, err)
	_, table, _ := strings.Cut(string(page), "| `reason` of `godwit_refused_total`")
	table, _, _ = strings.Cut(table, "\n#")
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, m[1])
	}
	known := slices.Concat([]string{broker.RefusedCallback, broker.RefusedConnections, broker.RefusedAddress}, hooks.Refusals[:], api.Refusals[:])
	for _, reason := range append(documented, known...) {
		if refusalCases[reason] == nil && !slices.Contains(refusedElsewhere, reason) {
			t.Errorf("the reason %s has no case in refusalCases", reason)
		}
	}
	for reason, refuse := range refusalCases {
		if !slices.Contains(documented, reason) {
			t.Errorf("docs/metrics.md does not have the reason %s", reason)
		}
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			s := clienttest.NewServer(t, waiting(func(c *config.Config) {
				c.Limits.SendRate, c.Limits.Devices = 1_000_000, 2
				c.SMS.Gateways = append(c.SMS.Gateways, config.Gateway{
					Name: "kannel", Kind: config.KindKannel, URL: "http://127.0.0.1:9/", Username: "u", Password: "p", CallbackSecret: callbackSecret, Window: 1,
				})
			}))
			for name, n := range refusals(t, s) {
				if n != 0 {
					t.Errorf("%s is %d at the start", name, n)
				}
			}
			refuse(t, s)
			var got map[string]int
			eventually(t, func() bool {
				got = refusals(t, s)
				maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
				return got[reason] > 0
			})
			want := map[string]int{reason: 1}
			if before := refusedBefore[reason]; before != "" {
				want[before] = 1
			}
			if !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}
