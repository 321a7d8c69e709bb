// Package kannel runs a real Kannel for tests: bearerbox, smsbox and two fakesmsc, one that is the phones' screens and one that types on them, all on
// free ports of the loopback with a configuration of their own. The programs are in Debian's packages kannel and kannel-extras; where they are
// missing the test is skipped, unless GODWIT_TEST_NO_SKIP is set.
//
// Kannel keeps MTs and MOs in a file over Stop and Start, but not the MOs and DLRs whose callbacks it is repeating, nor its DLR table.
package kannel

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/seed-7a41469f/godwit/sms"
)

// patience is how long anything here may take.
const patience = 30 * time.Second

// Config is how a Kannel is set up.
type Config struct {
	// MOURL is what Kannel gets for each MO (get-url, with its escapes); empty: MOs go nowhere. Kannel calls again each second while the answer is neither
	// 200 nor 202.
	MOURL string
	// Parts has Kannel hand over the segments of a long MO as they come, with their UDH, instead of joining them.
	Parts bool
}

// A Kannel is one that runs on this machine.
type Kannel struct {
	SendURL            string // of the sendsms service
	Username, Password string // that it takes

	t       testing.TB
	config  Config
	dir     string
	found   map[string]string // programs
	ports   map[string]int
	running []*program // in the order they were started

	mu       sync.Mutex
	changed  chan struct{} // closed at each change, and made anew
	received []Message
}

// A Message is an MT as the phone's screen has it.
type Message struct {
	From, To string
	Kind     string // "text", "ucs-2" or "data" (8 bit, or any with a UDH: fakesmsc does not tell which)
	UDH      []byte
	Data     []byte // UTF-8 for GSM 7, big-endian UTF-16 for UCS-2
}

// Start starts a Kannel and stops it when the test ends.
func Start(t testing.TB, config Config) *Kannel {
	t.Helper()
	k := New(t, config)
	k.Start()
	return k
}

// New returns a Kannel that Start starts: its SendURL is known before.
func New(t testing.TB, config Config) *Kannel {
	t.Helper()
	k := &Kannel{
		Username: "godwit", Password: "Pa55 w&rd", t: t, config: config, dir: t.TempDir(),
		found: map[string]string{}, ports: map[string]int{}, changed: make(chan struct{}),
	}
	for _, name := range []string{"bearerbox", "smsbox", "fakesmsc"} {
		k.found[name] = find(t, name)
	}
	for _, name := range []string{"admin", "boxes", "send", "screens", "keys"} {
		k.ports[name] = FreePort(t)
	}
	k.SendURL = fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms", k.ports["send"])
	t.Cleanup(k.Stop)
	return k
}

// find returns the path of a program.
func find(t testing.TB, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name, "/usr/lib/kannel/test/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	const missing = "%s is not installed (Debian: kannel, kannel-extras)"
	if os.Getenv("GODWIT_TEST_NO_SKIP") != "" {
		t.Fatalf(missing, name)
	}
	t.Skipf(missing, name)
	return ""
}

// FreePort returns a port of the loopback that nobody listens on, below those that the system gives to clients (net.ipv4.ip_local_port_range), so that
// hardly anybody takes it before its user does.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000))))
		if err != nil {
			continue
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}

// configuration is Kannel's. max-messages = 0: the answer to a callback never becomes an SMS.
var configuration = template.Must(template.New("kannel.conf").Parse(`group = core
admin-port = {{.Ports.admin}}
admin-interface = 127.0.0.1
admin-password = "{{.Password}}"
smsbox-port = {{.Ports.boxes}}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
store-type = file
store-location = {{.Dir}}/store
sms-combine-concatenated-mo = {{not .Config.Parts}}
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = SCREENS
port = {{.Ports.screens}}
our-host = 127.0.0.1
connect-allow-ip = 127.0.0.1

group = smsc
smsc = fake
smsc-id = KEYS
port = {{.Ports.keys}}
our-host = 127.0.0.1
connect-allow-ip = 127.0.0.1
allowed-smsc-id = KEYS

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {{.Ports.send}}
sendsms-interface = 127.0.0.1
http-request-retry = 1000
http-queue-delay = 1

group = sendsms-user
username = {{.Username}}
password = "{{.Password}}"
max-messages = 1
{{with .Config.MOURL}}
group = sms-service
keyword = default
catch-all = true
get-url = "{{.}}"
max-messages = 0
{{end}}`))

// Start starts the programs, and returns when an MT would arrive and an MO could be typed.
func (k *Kannel) Start() {
	k.t.Helper()
	var conf strings.Builder
	data := map[string]any{"Ports": k.ports, "Dir": k.dir, "Config": k.config, "Username": k.Username, "Password": k.Password}
	if err := configuration.Execute(&conf, data); err != nil {
		k.t.Fatal(err)
	}
	file := filepath.Join(k.dir, "kannel.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		k.t.Fatal(err)
	}
	bearerbox := k.run("bearerbox", nil, "-v", "1", file)
	bearerbox.await("entering mainloop")
	k.run("smsbox", nil, "-v", "1", file).await("Connected to bearerbox")
	k.run("fakesmsc", k.arrived, "-H", "127.0.0.1", "-r", strconv.Itoa(k.ports["screens"]), "-m", "0", "0 0 text none")
	bearerbox.await("Fakesmsc client connected")
}

// Stop stops the programs, if they run.
func (k *Kannel) Stop() {
	k.t.Helper()
	for len(k.running) > 0 {
		last := len(k.running) - 1
		k.running[last].stop()
		k.running = k.running[:last]
	}
}

// Restart is Stop and Start, on the same ports.
func (k *Kannel) Restart() {
	k.t.Helper()
	k.Stop()
	k.Start()
}

// MO types an SMS from a phone into fakesmsc, which takes it as it is: as GSM 7 when it is one line of that alphabet, else as UCS-2.
func (k *Kannel) MO(from, to, text string) {
	k.t.Helper()
	if sms.Forcing(text) == 0 && !strings.ContainsFunc(text, unicode.IsControl) {
		k.Type(from + " " + to + " text " + text)
		return
	}
	octets, err := sms.Encode(text, sms.UCS2)
	if err != nil {
		k.t.Fatal(err)
	}
	k.Type(from + " " + to + " ucs2 " + escape(octets))
}

// MOSegment types one segment of a long SMS, GSM 7, with its user data header.
func (k *Kannel) MOSegment(from, to string, udh []byte, text string) {
	k.t.Helper()
	k.Type(from + " " + to + " udh-text " + escape(udh) + " " + text)
}

func escape(octets []byte) string {
	return strings.ReplaceAll(url.QueryEscape(string(octets)), "+", "%20")
}

// Type gives a line in fakesmsc's format to a fakesmsc of its own, and returns when it was sent to bearerbox.
func (k *Kannel) Type(line string) {
	k.t.Helper()
	p := k.run("fakesmsc", nil, "-H", "127.0.0.1", "-r", strconv.Itoa(k.ports["keys"]), "-i", "0.01", "-m", "1", line)
	p.await("sent message 1")
	p.stop()
	k.running = k.running[:len(k.running)-1]
	k.running[0].await("EOF from fakesmsc client") // so that the port is free for the next
}

// arrived takes a line of the screens.
func (k *Kannel) arrived(line string) {
	_, line, ok := strings.Cut(line, ": Got message ")
	if !ok {
		_, line, ok = strings.Cut(line, "Got message ")
	}
	_, line, shown := strings.Cut(line, ": <")
	if !ok || !shown {
		return
	}
	m, err := parse(strings.TrimSuffix(line, ">"))
	if err != nil {
		k.t.Errorf("fakesmsc shows what cannot be read: %v", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.received = append(k.received, m)
	close(k.changed)
	k.changed = make(chan struct{})
}

// parse reads "from to [udh U] kind data".
func parse(line string) (m Message, err error) {
	field := func() (f string) { f, line, _ = strings.Cut(line, " "); return f }
	m.From, m.To, m.Kind = field(), field(), field()
	if m.Kind == "udh" {
		udh, err := url.QueryUnescape(field())
		if err != nil {
			return m, err
		}
		m.UDH, m.Kind = []byte(udh), field()
	}
	if m.Kind == "text" {
		m.Data = []byte(line)
		return m, nil
	}
	data, err := url.QueryUnescape(line)
	m.Data = []byte(data)
	return m, err
}

// Text is what the phone shows, of a message with a UDH as UCS-2 when ucs2 is set, else as GSM 7.
func (m Message) Text(ucs2 bool) string {
	if m.Kind != "ucs-2" && !ucs2 {
		return string(m.Data)
	}
	units := make([]uint16, len(m.Data)/2)
	for i := range units {
		units[i] = uint16(m.Data[2*i])<<8 | uint16(m.Data[2*i+1])
	}
	return string(utf16.Decode(units))
}

// Received returns the MTs on the screens so far, in the order in which they came.
func (k *Kannel) Received() []Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]Message(nil), k.received...)
}

// Wait returns the MTs once there are n of them, or with the error of ctx.
func (k *Kannel) Wait(ctx context.Context, n int) ([]Message, error) {
	for {
		k.mu.Lock()
		changed, count := k.changed, len(k.received)
		k.mu.Unlock()
		if count >= n {
			return k.Received(), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return k.Received(), fmt.Errorf("%d of %d MTs came: %w", count, n, ctx.Err())
		}
	}
}
