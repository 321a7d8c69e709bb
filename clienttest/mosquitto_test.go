package clienttest_test

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// TestMosquitto plays the method against `godwit serve` with the clients of Debian's mosquitto-clients.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	needMosquitto(t)
	for version, v := range map[string]clienttest.Version{"mqttv311": clienttest.V311, "5": clienttest.V5} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := &mosquitto{t: t, version: version, Process: clienttest.StartProcess(t, push(func(p *config.Push) {
				p.AckTimeout, p.OfflineGrace = config.Duration(time.Second), config.Duration(time.Second)
			}))}
			m.play(v)
		})
	}
}

// needMosquitto skips a test whose programs are missing.
func needMosquitto(t *testing.T) {
	t.Helper()
	need(t, "mosquitto_pub", "mosquitto_sub", "stdbuf")
}

// A mosquitto is the stage.
type mosquitto struct {
	*clienttest.Process
	t       *testing.T
	version string
	a       *subscriber // Ann's
	sent    int         // SMS so far
}

func (m *mosquitto) play(v clienttest.Version) {
	m.a = m.subscribe(ann, "phone", "-c")
	b := m.subscribe(bo, "phone", "-c")

	m.publish(ann, "to/"+string(bo)+"/pushed", "Lunch at one?") // S1, S5
	b.next("/in/"+string(ann)+"/", "Lunch at one?")
	m.ended("pushed", "delivered", "push", "")

	m.publish(ann, "to/"+string(cleo)+"/unregistered", "Lunch at one?") // S2, S4
	m.ended("unregistered", "delivered", "sms", delivery.NotRegistered)
	m.sms(cleo, "Lunch at one?")

	m.SMS.MO(contacts.Number(cleo), clienttest.OurNumber, "Gladly!") // the way back
	m.a.next("/sms/"+string(cleo)+"/", "Gladly!")

	b.signal(syscall.SIGSTOP) // S3: the link stands, and nobody answers
	m.publish(ann, "to/"+string(bo)+"/silent", "Make it two")
	m.ended("silent", "delivered", "sms", delivery.NoAnswer)
	m.sms(bo, "Make it two")
	b.signal(syscall.SIGCONT)
	b.next("/in/"+string(ann)+"/", "Make it two") // it was written to the link meanwhile: its id says that it is the same one

	b.signal(syscall.SIGKILL) // S3: lost
	<-b.ended
	m.publish(ann, "to/"+string(bo)+"/lost", "Are you coming?")
	m.ended("lost", "delivered", "sms", delivery.Offline)
	m.sms(bo, "Are you coming?")
	b = m.subscribe(bo, "phone", "-c")
	b.next("/seen/"+string(ann)+"/", "Are you coming?")

	b.signal(syscall.SIGTERM) // S3: signed off
	<-b.ended
	m.publish(ann, "to/"+string(bo)+"/left", "Good night")
	reason := delivery.Left
	if v == clienttest.V5 {
		reason = delivery.Offline // mosquitto_sub says 0x04 (disconnect with will message) when it is ended, and that is a loss
	}
	m.ended("left", "delivered", "sms", reason)
	m.sms(bo, "Good night")

	m.publish(ann, "app/"+string(bo)+"/kept", "For the app")
	m.publish(ann, "to/0049176", "refused") // and the client is not kept waiting
	m.a.signal(syscall.SIGTERM)
	<-m.a.ended
	m.Restart()
	m.a = m.subscribe(ann, "phone", "-c")
	b = m.subscribe(bo, "phone", "-c")
	b.next("/seen/"+string(ann)+"/", "Good night")
	b.next("/in/"+string(ann)+"/", "For the app")
	m.ended("kept", "delivered", "push", "")

	m.publish(ann, "to/boiler-7/nobody", "Hello?") // a name that nobody added
	m.ended("nobody", "failed", "", delivery.NoSuchName)
	if v == clienttest.V5 {
		m.publish(ann, "to/"+string(bo)+"/properties", "By SMS", "-D", "publish", "user-property", "sms", "only", "-D", "publish", "user-property", "receipts", "final")
		m.ended("properties", "delivered", "sms", "")
		m.sms(bo, "By SMS")
		b.next("/seen/"+string(ann)+"/", "By SMS")
	}
	m.wrongToken()
}

// publish returns when mosquitto_pub has got its PUBACK.
func (m *mosquitto) publish(from contacts.Address, topic, text string, more ...string) {
	m.t.Helper()
	args := append(m.login(from, "pub", m.Token(from)), "-q", "1", "-t", topic, "-m", text)
	// Debian's 2.0.11 ends with 0 after a refusal on MQTT 5, too: what matters here is that it ends.
	if out, err := exec.CommandContext(m.t.Context(), "mosquitto_pub", append(args, more...)...).CombinedOutput(); err != nil {
		m.t.Fatalf("mosquitto_pub to %s: %v: %s", topic, err, out)
	}
}

func (m *mosquitto) login(user contacts.Address, device, token string) []string {
	m.t.Helper()
	host, port, err := net.SplitHostPort(m.Addresses().MQTT)
	if err != nil {
		m.t.Fatal(err)
	}
	return []string{"-V", m.version, "-h", host, "-p", port, "-u", string(user), "-P", token, "-i", device}
}

// ended waits for the last receipt of one of Ann's messages.
func (m *mosquitto) ended(key, state, via string, reason delivery.Reason) {
	m.t.Helper()
	line := m.a.line("/receipt/"+key+" ", `"final":true`)
	_, payload, _ := strings.Cut(line, " ")
	r, err := clienttest.Arrival{Payload: payload}.Receipt()
	if err != nil {
		m.t.Fatal(err)
	}
	ended(m.t, r, state, via, reason)
}

// sms compares the next SMS.
func (m *mosquitto) sms(to contacts.Address, text string) {
	m.t.Helper()
	m.sent++
	if got := sms(m.t, m.Broker, m.sent, to); got.Text != "+"+string(ann)+": "+text {
		m.t.Errorf("SMS %q", got.Text)
	}
}

// wrongToken looks at what a client is told: 0x86 (MQTT 5 §3.2.2.2), or 0x04 (MQTT 3.1.1 §3.2.2.3).
func (m *mosquitto) wrongToken() {
	m.t.Helper()
	args := m.login(bo, "thief", "wrong")
	out, err := exec.CommandContext(m.t.Context(), "mosquitto_pub", append(args, "-t", "to/"+string(ann), "-m", "x")...).CombinedOutput()
	if err == nil || !strings.Contains(strings.ToLower(string(out)), "bad user name or password") {
		m.t.Errorf("a wrong token: %v: %s", err, out)
	}
}

// A subscriber is a mosquitto_sub at work.
type subscriber struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	text  bytes.Buffer
	taken map[string]bool
	news  chan struct{}
}

// subscribe starts a mosquitto_sub for the whole inbox and returns when it has its SUBACK.
func (m *mosquitto) subscribe(user contacts.Address, device string, more ...string) *subscriber {
	m.t.Helper()
	s := &subscriber{t: m.t, ended: make(chan struct{}), taken: map[string]bool{}, news: make(chan struct{})}
	args := append([]string{"-oL", "mosquitto_sub"}, m.login(user, device, m.Token(user))...) // by lines, as on a terminal
	args = append(args, "-q", "1", "-t", delivery.Topic(user, "#"), "-v", "-d")
	s.cmd = exec.Command("stdbuf", append(args, more...)...)
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is of no interest
		close(s.ended)
	}()
	m.t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.ended
	})
	s.line("Subscribed (mid: ", "")
	return s
}

func (s *subscriber) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Write takes what mosquitto_sub prints.
func (s *subscriber) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.news)
	s.news = make(chan struct{})
	return s.text.Write(p)
}

// next waits for a message.
func (s *subscriber) next(topic, text string) {
	s.t.Helper()
	s.line(topic, " "+text+"\n")
}

// line waits for the first line with both texts that was not returned yet.
func (s *subscriber) line(part, other string) string {
	s.t.Helper()
	end := time.After(clienttest.Patience)
	for {
		s.mu.Lock()
		text, news := s.text.String(), s.news
		s.mu.Unlock()
		for line := range strings.Lines(text) {
			// A line of -d tells of the same message as one of -v.
			if strings.HasSuffix(line, "\n") && !strings.HasPrefix(line, "Client ") && strings.Contains(line, part) && strings.Contains(line, other) && !s.taken[line] {
				s.taken[line] = true
				return strings.TrimSuffix(line, "\n")
			}
		}
		select {
		case <-news:
		case <-end:
			s.t.Fatalf("no line with %q and %q in:\n%s", part, other, text)
		}
	}
}
