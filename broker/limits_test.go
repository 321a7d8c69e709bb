package broker_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/raw"
	"github.com/seed-7a41469f/godwit/config"
)

// limitCases has a case for every limit that the configuration has: at its value, and one beyond.
var limitCases = map[string]func(t *testing.T){
	"limits.packet":                  limitPacket,
	"limits.connections":             limitConnections,
	"limits.keepalive_max":           limitKeepalive,
	"limits.devices":                 limitDevices,
	"limits.send_rate":               limitSendRate,
	"limits.send_rate over HTTP":     limitSendRateOverHTTP,
	"limits.inbox":                   limitInbox,
	"limits.inbox_age":               limitInboxAge,
	"limits.notices":                 limitNotices,
	"limits.history":                 limitHistory,
	"limits.connections_per_address": limitPerAddress,
	"limits.connects_per_address":    limitConnects,
	"limits.disk_free":               limitDiskFree,
	"sms.caps.sender_day":            capSender,
	"sms.caps.recipient_day":         capRecipient,
	"sms.caps.prefix_hour":           capPrefix,
	"sms.caps.loop_hour":             capLoop,
	"sms.budget.day":                 budgetDay,
	"sms.budget.month":               budgetMonth,
	"sms.max_segments":               maxSegments,
	"push.after_max":                 afterMax,
	"push.window":                    pushWindow,
	"contacts.changes_per_day":       changesPerDay,
}

// TestEveryLimit goes through the structs of the configuration, so that a limit without a case is noticed.
func TestEveryLimit(t *testing.T) {
	for section, of := range map[string]reflect.Type{
		"limits": reflect.TypeFor[config.Limits](), "sms.caps": reflect.TypeFor[config.Caps](), "sms.budget": reflect.TypeFor[config.Budget](),
	} {
		for i := range of.NumField() {
			if key := section + "." + of.Field(i).Tag.Get("yaml"); limitCases[key] == nil {
				t.Errorf("%s has no case in limitCases: write one that meets it at its value and one beyond", key)
			}
		}
	}
	for name, play := range limitCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t)
		})
	}
}

// frame is a PUBLISH of so many octets, all counted.
func frame(version byte, id uint16, topic string, size int) []byte {
	template := raw.NewTemplate(version, topic, 1)
	for n := size; ; n-- {
		if b := template.Append(nil, id, false, []byte(strings.Repeat("x", n))); len(b) <= size {
			return b
		}
	}
}

func limitPacket(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.Packet = 1 << 10 }))
	for _, version := range []byte{raw.V5, raw.V311} {
		a := dialFrom(t, s, home)
		ack := a.connect(hello(s, version, anna, "a"))
		if version == raw.V5 && ack.Properties.MaximumPacketSize != 1<<10 {
			t.Errorf("CONNACK tells %d", ack.Properties.MaximumPacketSize)
		}
		if b := frame(version, 1, "app/"+string(bert), 1<<10); len(b) != 1<<10 {
			t.Fatalf("a frame of %d", len(b))
		} else {
			a.send(b)
		}
		if ack := a.expect(packets.Puback); ack.ReasonCode != 0 {
			t.Errorf("at the limit: PUBACK %#x", ack.ReasonCode)
		}
		a.send(frame(version, 2, "app/"+string(bert), 1<<10+1))
		last := a.ended()
		if version == raw.V5 && (last.FixedHeader.Type != packets.Disconnect || last.ReasonCode != 0x95) || version == raw.V311 && last.FixedHeader.Type != 0 {
			t.Errorf("one beyond, version %d: %+v", version, last)
		}
	}
	for size, want := range map[int]int{1 << 10: http.StatusAccepted, 1<<10 + 1: http.StatusRequestEntityTooLarge} {
		if got := posted(t, s, "/app/"+string(bert), strings.Repeat("x", size), nil); got != want {
			t.Errorf("%d octets over HTTP: status %d, want %d", size, got, want)
		}
	}
	if n := len(s.Messages()); n != 3 {
		t.Errorf("%d messages were taken, want 3", n)
	}
	if n := counted(t, s, `godwit_refused_total{reason="packet_size"}`); n != 3 {
		t.Errorf("counted %d", n)
	}
}

func limitConnections(t *testing.T) {
	s := clienttest.NewServer(t, func(c *config.Config) { c.Limits.Connections = 3 })
	var open []*wire
	for i := range 3 {
		open = append(open, join(t, s, home, hello(s, raw.V5, anna, fmt.Sprint(i))))
	}
	one := dialFrom(t, s, home)
	if last := one.ended(); last.FixedHeader.Type != 0 {
		t.Errorf("the fourth got %+v", last)
	}
	if status := askForWebSocket(t, s); status != http.StatusServiceUnavailable {
		t.Errorf("a WebSocket beyond: status %d", status)
	}
	if n := counted(t, s, `godwit_refused_total{reason="connections"}`); n != 2 {
		t.Errorf("counted %d", n)
	}
	if status := posted(t, s, "/to/"+string(anna), "HTTP is no MQTT connection", nil); status != http.StatusAccepted {
		t.Errorf("a message over HTTP: status %d", status)
	}
	for _, w := range open {
		w.ping()
	}
	must(t, open[0].Close())
	eventually(t, func() bool {
		w := dialFrom(t, s, home)
		_, err := w.Write(hello(s, raw.V5, anna, "new").Append(nil))
		must(t, err)
		ack, err := w.read(patience)
		return err == nil && ack.FixedHeader.Type == packets.Connack && ack.ReasonCode == 0
	})
}

func limitKeepalive(t *testing.T) {
	s := clienttest.NewServer(t, func(c *config.Config) { c.Limits.KeepaliveMax = config.Duration(10 * time.Second) })
	for asked, told := range map[uint16]uint16{10: 0, 11: 10, 65535: 10, 0: 10} {
		c := hello(s, raw.V5, anna, "a")
		c.Keepalive = asked
		p := dialFrom(t, s, home).connect(c).Properties
		if p.ServerKeepAlive != told {
			t.Errorf("%d s asked: Server Keep Alive %d, want %d", asked, p.ServerKeepAlive, told)
		}
	}
}

func limitDevices(t *testing.T) {
	s := clienttest.NewServer(t, func(c *config.Config) { c.Limits.Devices = 2 })
	lasting := func(version byte, device string) raw.Connect {
		c := hello(s, version, anna, device)
		c.Clean, c.SessionExpiry = version == raw.V5, 3600
		return c
	}
	first := join(t, s, home, lasting(raw.V5, "1"))
	second := join(t, s, home, lasting(raw.V311, "2"))
	for version, want := range map[byte]byte{raw.V5: 0x97, raw.V311: 0x03} {
		w := dialFrom(t, s, home)
		if ack := w.connect(lasting(version, "3")); ack.ReasonCode != want {
			t.Errorf("the third on version %d: CONNACK %#x, want %#x", version, ack.ReasonCode, want)
		}
		w.ended()
	}
	if n := counted(t, s, `godwit_refused_total{reason="devices"}`); n != 2 {
		t.Errorf("counted %d", n)
	}
	join(t, s, home, hello(s, raw.V5, anna, "a clean session is not remembered"))
	must(t, first.Close())
	eventually(t, func() bool { return dialFrom(t, s, home).connect(lasting(raw.V5, "3")).ReasonCode == 0 })
	second.ping()
}

// Who sends too fast is held back, not refused.
func limitSendRate(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.SendRate = 10 }))
	a := join(t, s, home, hello(s, raw.V5, anna, "a"))
	began := time.Now()
	for id := range uint16(10) {
		if code := a.publish(id+1, "app/"+string(bert), "within the rate"); code != 0 {
			t.Errorf("PUBACK %#x", code)
		}
	}
	within := time.Since(began)
	for id := range uint16(5) {
		if code := a.publish(id+20, "app/"+string(bert), "beyond the rate"); code != 0 {
			t.Errorf("PUBACK %#x", code)
		}
	}
	if took := time.Since(began); took < 450*time.Millisecond {
		t.Errorf("15 publishes at 10 a second, of which 10 at once, took %v", took)
	}
	t.Logf("the first ten took %v", within)
	for reason, n := range refusals(t, s) {
		if n != 0 {
			t.Errorf("%d were refused: %s", n, reason)
		}
	}
}

// askForWebSocket asks for MQTT over WebSocket and returns the status, which is 101 where there is one.
func askForWebSocket(t *testing.T, s *clienttest.Server) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/mqtt", nil)
	must(t, err)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "mqtt",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode
}

// Over HTTP, too, but nobody waits for longer than 3 s (docs/sending.md).
func limitSendRateOverHTTP(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.SendRate = 0.1 }))
	send := func() int { return posted(t, s, "/app/"+string(bert), "one in ten seconds", nil) }
	if status := send(); status != http.StatusAccepted {
		t.Errorf("at the rate: status %d", status)
	}
	if status := send(); status != http.StatusTooManyRequests {
		t.Errorf("one beyond: status %d", status)
	}
	if n := len(s.Messages()); n != 1 {
		t.Errorf("%d messages were taken, want 1", n)
	}
}

// So many new numbers a day may be asked about; those that were may be asked about again.
func changesPerDay(t *testing.T) {
	s := clienttest.NewServer(t, func(c *config.Config) { c.Contacts.ChangesPerDay = 2 })
	quote := func(number string) int {
		return posted(t, s, "/v1/quote", `{"to":"`+number+`","text":"would it arrive?"}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
	}
	for _, c := range []struct {
		number string
		status int
	}{{"4917604069041", 200}, {"4917604069042", 200}, {"4917604069043", 429}, {"4917604069041", 200}} {
		if status := quote(c.number); status != c.status {
			t.Errorf("%s: status %d, want %d", c.number, status, c.status)
		}
	}
}

func limitInbox(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.Inbox = 3 }))
	s.Token(bert) // registered, and never there
	a := s.Connect(clienttest.Login{User: anna})
	for i := range 3 {
		a.Publish(fmt.Sprintf("app/%s/%d", bert, i), "fits into it")
	}
	if ack := a.Publish("app/"+string(bert)+"/full", "one too many"); ack.Code != 0 {
		t.Errorf("PUBACK %#x", ack.Code)
	}
	if r := a.Final("full"); r.State != "failed" || r.Reason != "inbox_full" {
		t.Errorf("%+v", r)
	}
	four := s.Connect(clienttest.Login{User: dora, Version: clienttest.V311})
	four.Publish("app/"+string(bert)+"/full4", "one too many")
	if r := four.Final("full4"); r.State != "failed" || r.Reason != "inbox_full" {
		t.Errorf("on 3.1.1: %+v", r)
	}
	b := s.Connect(clienttest.Login{User: bert, Persistent: true})
	for range 3 {
		if m := b.Next("in"); m.Payload != "fits into it" {
			t.Errorf("got %q", m.Payload)
		}
	}
	for i := range 3 {
		a.Final(fmt.Sprint(i))
	}
	a.Publish("app/"+string(bert)+"/5", "there is room again")
	b.Next("in")
}

// What a message may live at most is told to the recipient as what is left of it.
func limitInboxAge(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.InboxAge = config.Duration(time.Minute) }))
	b := join(t, s, home, hello(s, raw.V5, bert, "b"))
	b.subscribe("u/" + string(bert) + "/#")
	a := join(t, s, home, hello(s, raw.V5, anna, "a"))
	for _, c := range []struct{ asked, most, least uint32 }{{0, 60, 50}, {30, 30, 20}, {60, 60, 50}, {61, 60, 50}, {1 << 31, 60, 50}} {
		pk := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 5, PacketID: 1, TopicName: "app/" + string(bert),
			Payload: []byte("for a while"), Properties: packets.Properties{MessageExpiryInterval: c.asked},
		}
		a.send(encoded(t, pk))
		a.expect(packets.Puback)
		in := b.expect(packets.Publish)
		if left := in.Properties.MessageExpiryInterval; left > c.most || left < c.least {
			t.Errorf("%d s asked, %d s left, want %d to %d", c.asked, left, c.least, c.most)
		}
		b.send(raw.AppendPuback(nil, in.PacketID))
	}
}

func limitNotices(t *testing.T) {
	s := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.Notices = 3 }))
	phone := hello(s, raw.V5, anna, "phone")
	phone.Clean, phone.SessionExpiry = false, 3600
	p := join(t, s, home, phone)
	p.subscribe("u/" + string(anna) + "/#")
	must(t, p.Close())
	script := join(t, s, home, hello(s, raw.V5, anna, "script"))
	for i := range uint16(6) {
		script.publish(i+1, fmt.Sprintf("to/nobody/k%d", i), "is anybody there?")
	}
	// Each has a receipt and a copy for the other device. They are pruned at the start, and every hour.
	s.Restart()
	var last string
	eventually(t, func() bool {
		p := join(t, s, home, phone)
		defer func() { must(t, p.Close()) }()
		n := 0
		for {
			in, err := p.read(300 * time.Millisecond)
			if err != nil {
				return n == 3
			}
			n, last = n+1, in.TopicName
		}
	})
	if !strings.HasSuffix(last, "/receipt/k5") && !strings.Contains(last, "/sent/nobody/") {
		t.Errorf("the last one is %s", last)
	}
}

func limitHistory(t *testing.T) {
	for _, c := range []struct {
		name    string
		history time.Duration
		kept    bool
	}{{"0", 0, false}, {"shorter than the message is old", time.Second, false}, {"longer", time.Hour, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := clienttest.NewServer(t, waiting(func(cfg *config.Config) { cfg.Limits.History = config.Duration(c.history) }))
			b := s.Connect(clienttest.Login{User: bert})
			a := s.Connect(clienttest.Login{User: anna})
			id := a.Publish("to/"+string(bert)+"/k", "for the archive").ID
			b.Next("in")
			a.Final("k")
			if status := admin(t, s, "/v1/admin/messages/"+id); status != http.StatusOK {
				t.Errorf("before it is pruned: %d", status)
			}
			a.Disconnect()
			b.Disconnect()
			time.Sleep(1100 * time.Millisecond) // sleep: until the message is older than the second
			s.Restart()
			if !c.kept {
				eventually(t, func() bool { return admin(t, s, "/v1/admin/messages/"+id) == http.StatusNotFound })
			}
			again := s.Connect(clienttest.Login{User: anna, Device: "again"})
			if ack := again.Publish("to/"+string(bert)+"/k", "for the archive"); ack.ID != id {
				t.Errorf("the key names %s, the message was %s", ack.ID, id)
			}
			if status := admin(t, s, "/v1/admin/messages/"+id); (status == http.StatusOK) != c.kept {
				t.Errorf("in the end: %d", status)
			}
		})
	}
}

// admin asks the operator's socket, and returns the status.
func admin(t *testing.T, s *clienttest.Server, path string) int {
	t.Helper()
	h := &host{t: t}
	h.where.Admin = s.Addresses().Admin
	return h.ask("GET", path, "", nil)
}

func limitPerAddress(t *testing.T) {
	s := clienttest.NewServer(t, func(c *config.Config) { c.Limits.ConnectionsPerAddress = 3 })
	const crowded = "127.0.0.2"
	for i := range 5 { // who has logged in does not count: behind one carrier's NAT sit thousands of phones
		join(t, s, crowded, hello(s, raw.V5, anna, fmt.Sprint(i)))
	}
	silent := []*wire{dialFrom(t, s, crowded), dialFrom(t, s, crowded), dialFrom(t, s, crowded)}
	dialFrom(t, s, crowded).ended()
	join(t, s, "127.0.0.3", hello(s, raw.V5, anna, "elsewhere"))
	if ack := silent[0].connect(hello(s, raw.V5, anna, "late")); ack.ReasonCode != 0 {
		t.Errorf("one of the three: CONNACK %#x", ack.ReasonCode)
	}
	join(t, s, crowded, hello(s, raw.V5, anna, "in its place"))
}

func limitConnects(t *testing.T) {
	s := clienttest.NewServer(t, func(c *config.Config) { c.Limits.ConnectsPerAddress = 3 })
	const guesser = "127.0.0.2"
	answered := guess(t, s, guesser)
	if answered < 3 {
		t.Errorf("only %d guesses were answered", answered)
	}
	join(t, s, "127.0.0.3", hello(s, raw.V5, anna, "elsewhere"))
	eventually(t, func() bool { // after a second
		w := dialFrom(t, s, guesser)
		_, err := w.Write(hello(s, raw.V5, anna, "right").Append(nil))
		must(t, err)
		ack, err := w.read(patience)
		return err == nil && ack.ReasonCode == 0
	})
}

// guess guesses a token until a connection is closed unheard, and returns how many guesses were answered.
func guess(t *testing.T, s *clienttest.Server, from string) (answered int) {
	t.Helper()
	for range 200 {
		w := dialFrom(t, s, from)
		c := hello(s, raw.V5, anna, "a")
		c.Password = "gw_guess"
		_, _ = w.Write(c.Append(nil)) // it may be closed already
		ack, err := w.read(patience)
		if err != nil {
			return answered
		}
		if ack.ReasonCode != 0x86 {
			t.Fatalf("a guess: CONNACK %#x", ack.ReasonCode)
		}
		answered++
	}
	t.Fatal("guessing is not slowed down")
	return answered
}

func limitDiskFree(t *testing.T) {
	var disk syscall.Statfs_t
	must(t, syscall.Statfs(t.TempDir(), &disk))
	free := config.Size(disk.Bavail) * config.Size(disk.Bsize)
	enough := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.DiskFree = free / 2 }))
	a := join(t, enough, home, hello(enough, raw.V5, anna, "a"))
	if code := a.publish(1, "app/"+string(bert), "it fits"); code != 0 {
		t.Errorf("with enough: PUBACK %#x", code)
	}
	low := clienttest.NewServer(t, waiting(func(c *config.Config) { c.Limits.DiskFree = 2 * free }))
	a = join(t, low, home, hello(low, raw.V5, anna, "a"))
	if code := a.publish(1, "app/"+string(bert), "no room"); code != 0x97 {
		t.Errorf("with too little: PUBACK %#x, want 0x97", code)
	}
	four := join(t, low, home, hello(low, raw.V311, anna, "four"))
	four.send(raw.NewTemplate(raw.V311, "app/"+string(bert), 1).Append(nil, 1, false, []byte("no room")))
	four.ping() // no acknowledgement, and the connection stays
	if n := counted(t, low, `godwit_refused_total{reason="disk"}`); n < 2 {
		t.Errorf("counted %d", n)
	}
	if n := len(low.Messages()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
	resp, err := http.Get(low.URL() + "/readyz")
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %s", resp.Status)
	}
}

func encoded(t *testing.T, pk packets.Packet) []byte {
	t.Helper()
	b, err := encodePacket(pk)
	must(t, err)
	return b
}
