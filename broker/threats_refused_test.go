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

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/hooks"
)

// refusedElsewhere are the reasons of godwit_refused_total without a case here: "store" needs a store that fails, which hooks has
// (TestStoreTroubleOnMQTT5); the others are those of HTTP and of the doors together, whose cases are still to be written.
var refusedElsewhere = []string{"store", "connections", "address", "http_login", "http_address", "http_insecure", "host", "origin"}

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
		s.Stop()
		s.Reconfigure(func(c *config.Config) { c.Limits.DiskFree = 1 << 50 })
		s.Start()
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
	known := append([]string{broker.RefusedCallback}, hooks.Refusals[:]...)
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
			if !maps.Equal(got, map[string]int{reason: 1}) {
				t.Errorf("counted %v, want one", got)
			}
		})
	}
}
