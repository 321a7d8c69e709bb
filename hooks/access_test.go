package hooks_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/hooks/internal/rawmqtt"
)

func TestConnackCodes(t *testing.T) {
	h := start(t, setup{})
	h.must(h.people.RevokeToken(t.Context(), carol, h.ids[carol]))
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		name, clientID, user, password string
		v5, v3                         byte
	}{
		{"right", "phone", string(alice), h.tokens[alice], 0, 0},
		{"with a plus", "phone2", "+" + string(alice), h.tokens[alice], 0, 0},
		{"wrong token", "phone", string(alice), "nonsense", 0x86, 0x04},
		{"another's token", "phone", string(alice), h.tokens[bob], 0x86, 0x04},
		{"unknown user", "phone", "4915100000000", h.tokens[bob], 0x86, 0x04},
		{"no user and no token", "phone", "", "", 0x86, 0x04},
		{"revoked", "phone", string(carol), h.tokens[carol], 0x87, 0x05},
		{"control character in the user name", "phone", string(alice) + "\x07", h.tokens[alice], 0x86, 0x04},
		{"control character in the client id", "pho\x1bne", string(alice), h.tokens[alice], 0x85, 0x02},
		{"C1 control in the client id", "pho\u0085ne", string(alice), h.tokens[alice], 0x85, 0x02},
		{"non-character in the client id", "pho\uFFFEne", string(alice), h.tokens[alice], 0x85, 0x02},
		{"long client id", long, string(alice), h.tokens[alice], 0x85, 0x02},
	} {
		t.Run(c.name, func(t *testing.T) {
			for version, want := range map[byte]byte{5: c.v5, 4: c.v3} {
				r := h.dial(version)
				ack := r.Connect(rawmqtt.Hello(version, c.clientID, c.user, c.password))
				if ack.ReasonCode != want {
					t.Errorf("version %d: CONNACK %#x, want %#x", version, ack.ReasonCode, want)
				}
				if want != 0 {
					r.ExpectClosed()
				}
			}
		})
	}
}

func TestConnackTellsWhatTheServerCan(t *testing.T) {
	h := start(t, setup{})
	hello := rawmqtt.Hello(5, "", string(alice), h.tokens[alice])
	hello.Connect.Keepalive = 0
	p := h.dial(5).Connect(hello).Properties
	if p.MaximumPacketSize != 64<<10 || !p.RetainAvailableFlag || p.RetainAvailable != 0 || !p.SharedSubAvailableFlag || p.SharedSubAvailable != 0 ||
		p.TopicAliasMaximum != 16 || p.AssignedClientID == "" || p.ServerKeepAlive != 1200 {
		t.Errorf("CONNACK %+v", p)
	}
}

// allowAll is what mochi's own hook of that name is.
type allowAll struct{ mqtt.HookBase }

func (*allowAll) ID() string { return "allow-all" }
func (*allowAll) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}
func (*allowAll) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }
func (*allowAll) OnACLCheck(*mqtt.Client, string, bool) bool              { return true }

// Denials of OnConnectAuthenticate and OnACLCheck are not asked beside a hook that allows everything.
func TestAllowAllHookBesideOurs(t *testing.T) {
	allow := func(s *mqtt.Server) { _ = s.AddHook(new(allowAll), nil) }
	h := start(t, setup{server: allow})
	stranger := h.dial(5)
	if ack := stranger.Connect(rawmqtt.Hello(5, "x", string(alice), "guess")); ack.ReasonCode != 0x86 {
		t.Errorf("a stranger got CONNACK %#x", ack.ReasonCode)
	}
	a, b := h.connect(5, alice, "a"), h.listen(5, bob, "b")
	for _, f := range []string{"#", "+/" + string(bob) + "/#", inbox(bob), "$SYS/#", "$share/g/" + inbox(alice)} {
		if codes := a.Subscribe(1, f); codes[0] < 0x80 {
			t.Errorf("subscribed to %s: %#x", f, codes)
		}
	}
	for id, topic := range []string{"u/" + string(bob) + "/in/x/y", "free/for/all", "to/nobody else"} {
		a.Publish(topic, "x", 1, uint16(id+1))
		if ack := a.Expect(packets.Puback); ack.ReasonCode < 0x80 {
			t.Errorf("published to %s: %#x", topic, ack.ReasonCode)
		}
	}
	a.Publish("to/"+string(bob), "really from alice", 1, 9)
	a.Expect(packets.Puback)
	if in := b.Expect(packets.Publish); !strings.HasPrefix(in.TopicName, "u/"+string(bob)+"/in/"+string(alice)+"/") {
		t.Errorf("topic %s", in.TopicName)
	}
}

// Two users may use one client id; a session belongs to its user.
func TestClientIDIsBoundToTheUser(t *testing.T) {
	h := start(t, setup{})
	hello := rawmqtt.Hello(4, "phone", string(alice), h.tokens[alice])
	hello.Connect.Clean = false
	a := h.dial(4)
	a.Connect(hello)
	a.Subscribe(1, inbox(alice))
	b := h.listen(4, bob, "phone")
	b.Publish("to/"+string(alice), "for alice", 1, 1)
	b.Expect(packets.Puback)
	if in := a.Expect(packets.Publish); string(in.Payload) != "for alice" {
		t.Errorf("got %s", in.Payload)
	}
	b.Ping()
}

// filterTable generates filters and says whose they are; 0: nobody's.
func filterTable(users []contacts.Address) map[string]contacts.Address {
	table := map[string]contacts.Address{}
	for _, u := range users {
		me := string(u)
		for _, tail := range []string{
			"#", "in/#", "in/+/+", "in/+/#", "sms/+/+", "seen/#", "sent/#", "receipt/+", "receipt/#", "read/+", "contacts/#", "contacts/+", "+", "+/+", "+/+/+", "+/#", "in",
			"in/" + string(users[0]) + "/+", "contacts/synced", "/",
		} {
			table["u/"+me+"/"+tail] = u
		}
		for _, name := range []string{"boiler", "x", string(users[0]) + "0", "0" + string(users[1])} {
			table["u/"+name+"/"+me+"/#"] = ""
			table[name+"/u/"+me+"/#"] = ""
		}
		for _, other := range []string{
			"u/" + me, "u/" + me + "x/#", "u/" + me[:len(me)-1] + "+/#", "u/" + me + "/#/x", "u/" + me + "/in#", "u/" + me + "/+in/#", "u/+" + me + "/#",
			"U/" + me + "/#", "u//" + me + "/#", "/u/" + me + "/#", "u/" + me + "\x00/#", "u/" + me + "/\x01", "u/" + me + "/\u0090/#", "$share/g/u/" + me + "/#",
			"$SHARE/g/u/" + me + "/#", "$share/g/#", "to/" + me, "to/" + me + "/#", "app/" + me, "sms/" + me, "+/" + me + "/#", "+/" + me + "/in/+/+", "u/+/in/#",
			" u/" + me + "/#", "u/" + me + " /#", "u/ " + me + "/#", "u/%34" + me[1:] + "/#", "u/" + strings.Repeat(me, 2) + "/#",
		} {
			table[other] = ""
		}
	}
	for _, nobody := range []string{
		"#", "+", "+/#", "+/+", "+/+/#", "+/+/+/+", "/#", "u/#", "u/+", "u/+/#", "u/+/+/+/+", "u", "", "/", "//", "$SYS/#", "$SYS/broker/uptime", "$sys/#", "$/#", "$share/a/b", "$share/+/u",
		"$share", "$share/", "$share/g", "$share/g/", "$queue/#", "t/#", "t/x", "home/+/state", "to/#", "to/+", "app/#", "sms/#", "u/../#", "u/./#",
		"u/*/#", "u/u/#", "u\\#", "u/\t/#", strings.Repeat("a/", 300) + "#", "u/" + strings.Repeat("9", 600) + "/#", "u/４９１５/#", "\ufeffu/#", "#/u", "u/#/in", "a+/b", "+a", "a#",
	} {
		table[nobody] = ""
	}
	return table
}

func TestFilterTable(t *testing.T) {
	h := start(t, setup{})
	users := []contacts.Address{alice, bob, carol}
	table := filterTable(users)
	if len(table) < 200 {
		t.Fatalf("only %d filters", len(table))
	}
	for _, me := range users {
		for _, version := range []byte{4, 5} {
			c := h.connect(version, me, fmt.Sprint("table", version))
			for f, owner := range table {
				if f == "" || strings.Contains(f, "\x00") {
					continue // malformed: closes the connection
				}
				granted := c.Subscribe(1, f)[0] < 0x80
				if granted != (owner == me) {
					t.Errorf("user %s, filter %q: granted %v", me, f, granted)
				}
				if granted {
					c.Send(packets.Packet{
						FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: 2, Filters: packets.Subscriptions{{Filter: f}},
					})
					c.Expect(packets.Unsuback)
				}
			}
		}
	}
}

func TestTooManyFilters(t *testing.T) {
	h := start(t, setup{})
	a := h.connect(4, alice, "a")
	for i := range 64 {
		if codes := a.Subscribe(1, fmt.Sprintf("u/%s/in/%d/+", alice, i)); codes[0] != 1 {
			t.Fatalf("filter %d: %#x", i, codes)
		}
	}
	if codes := a.Subscribe(1, inbox(alice)); codes[0] != 0x80 {
		t.Errorf("the 65th: %#x", codes)
	}
	if codes := a.Subscribe(0, fmt.Sprintf("u/%s/in/%d/+", alice, 7)); codes[0] != 0 {
		t.Errorf("one of them again: %#x", codes)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, open := range []string{"#", "+/x", "u/x/#", "to/#", "$SYS/#", "a#", "", "a/\x01"} {
		server := mqtt.New(nil)
		h := hooks.New(server, newEngine(t), hooks.Options{Open: []string{open}})
		if err := server.AddHook(h, nil); err == nil {
			t.Errorf("topics.open %q was taken", open)
		}
		h.OnStopped()
	}
}

// The embedding program's own client cannot write as a user.
func TestInlineClientCannotForge(t *testing.T) {
	h := start(t, setup{mqtt: func(o *mqttOptions) { o.InlineClient = true }})
	b := h.listen(4, bob, "b")
	_ = h.server.Publish("u/"+string(bob)+"/in/"+string(alice)+"/01ARZ3NDEKTSV4RRFFQ69G5FAV", []byte("forged"), false, 1)
	b.Ping()
}
