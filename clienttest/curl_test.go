package clienttest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// alerts sends what scripts send. It is a name, and has no phone.
const alerts contacts.Address = "alerts"

// A curler runs curl.
type curler struct {
	t    *testing.T
	base string // of the URLs
	args []string
}

// newCurler runs curl against a broker, with arguments that it always has.
func newCurler(t *testing.T, base string, args ...string) *curler {
	t.Helper()
	need(t, "curl")
	return &curler{t, base, args}
}

// basic logs in as curl does with -u.
func basic(b *clienttest.Broker, user contacts.Address) []string {
	return []string{"-u", string(user) + ":" + b.Token(user)}
}

// run asks for a path and returns the status and the body of the answer; err is that of curl.
func (c *curler) run(path string, args ...string) (status int, body string, err error) {
	c.t.Helper()
	all := append([]string{"-q", "-sS", "--max-time", "25", "-w", "\n%{http_code}"}, c.args...) // -q: no .curlrc
	cmd := exec.CommandContext(c.t.Context(), "curl", append(append(all, args...), c.base+path)...)
	out, err := cmd.Output()
	i := bytes.LastIndexByte(out, '\n')
	if i < 0 {
		return 0, "", err
	}
	status, conv := strconv.Atoi(string(out[i+1:]))
	return status, string(out[:i]), errors.Join(err, conv)
}

// ask must be answered with a status, and returns the body.
func (c *curler) ask(want int, path string, args ...string) string {
	c.t.Helper()
	status, body, err := c.run(path, args...)
	if err != nil || status != want {
		c.t.Errorf("curl %s: %d, %v: %s; want %d", path, status, err, body, want)
	}
	return body
}

// A sent is the answer to a message.
type sent struct{ ID, State, Reason string }

// send posts a message, which must be accepted.
func (c *curler) send(path string, args ...string) (s sent) {
	c.t.Helper()
	body := c.ask(202, path, args...)
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.ID == "" {
		c.t.Errorf("curl %s: %s, %v", path, body, err)
	}
	return s
}

// TestCurl sends with curl, in every form that it has, to a phone.
func TestCurl(t *testing.T) {
	t.Parallel()
	s := clienttest.NewServer(t, push(nil))
	b := s.Connect(clienttest.Login{User: bo})
	c := newCurler(t, s.URL(), basic(s.Broker, alerts)...)
	bearer := newCurler(t, s.URL(), "-H", "Authorization: Bearer "+s.Token(alerts))
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const image = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\x00"
	to := "/to/" + string(bo)
	for _, k := range []struct {
		name string
		by   *curler
		path string
		args []string
		want string
	}{
		{"text", c, to, []string{"-d", "Water in the cellar"}, "Water in the cellar"},
		{"text with what a form would be", c, to, []string{"-d", "a=b & c"}, "a=b & c"},
		{"a token alone", bearer, to, []string{"-d", "Water in the attic"}, "Water in the attic"},
		{"JSON", c, to, []string{"--json", `{"text":"Water in the garden","after":"5m"}`}, "Water in the garden"},
		{"a form", c, to, []string{"--data-urlencode", "text=50 % & more water", "-d", "sms=never"}, "50 % & more water"},
		{"a form of parts", c, to, []string{"-F", "message=Water by parts"}, "Water by parts"},
		{"a file", c, to, []string{"-d", "@" + file("note.txt", "Water in a file")}, "Water in a file"},
		{"a file as it is", c, to + "?expires=2h", []string{"--data-binary", "@" + file("lines.txt", "Water\nin lines\n")}, "Water\nin lines\n"},
		{"an image", c, to, []string{"-H", "Content-Type: image/png", "--data-binary", "@" + file("dot.png", image)}, image},
		{"an upload", c, to, []string{"-X", "POST", "-H", "Content-Type: application/octet-stream", "-T", file("dot.bin", image+"2")}, image + "2"},
		{"a number as people write it", c, "/to/+49%20" + strings.TrimPrefix(string(bo), "49"), []string{"-d", "Water at the number"}, "Water at the number"},
		{"to the app", c, "/app/" + string(bo) + "/k9", []string{"-d", "Water in the app"}, "Water in the app"},
	} {
		s.Hide(strings.TrimSpace(k.want))
		answer := k.by.send(k.path, k.args...)
		got := b.Next("in")
		want(t, got, alerts, k.want)
		if answer.State != "accepted" || answer.ID != got.ID {
			t.Errorf("%s: %+v; the message has the id %s", k.name, answer, got.ID)
		}
	}

	first, again := c.send(to+"/order-7", "-d", "Order 7 is ready"), c.send(to+"/order-7", "-d", "Order 7 is ready")
	want(t, b.Next("in"), alerts, "Order 7 is ready")
	if first.ID != again.ID {
		t.Errorf("the same key gave the ids %s and %s", first.ID, again.ID)
	}
	if a := c.send("/to/nobody", "-d", "hello"); a.State != "failed" || a.Reason != string(delivery.NoSuchName) {
		t.Errorf("to a name that nobody added: %+v", a)
	}
	problem := c.ask(400, "/to/0049", "-d", "no message")
	if !strings.Contains(problem, `"code":"bad_request"`) {
		t.Errorf("no number: %s", problem)
	}
	newCurler(t, s.URL(), "-u", "alerts:wrong").ask(401, to, "-d", "no message")
	newCurler(t, s.URL()).ask(401, to, "-d", "no message")

	c.send("/sms/"+string(cleo), "-d", "Water in the cellar")
	if got := sms(t, s.Broker, 1, cleo); got.Text != "alerts: Water in the cellar" {
		t.Errorf("SMS %q", got.Text)
	}
	if left := b.Left(); len(left) != 0 {
		t.Errorf("the phone got more: %+v", left)
	}
}

// TestCurlOverTLS sends with the password where nobody can read it. Curl checks the certificate.
func TestCurlOverTLS(t *testing.T) {
	t.Parallel()
	_, dir, configure := secure(t, nil)
	s := clienttest.NewServer(t, configure)
	base := "https://" + s.Addresses().HTTP
	c := newCurler(t, base, append(basic(s.Broker, alerts), "--cacert", filepath.Join(dir, "ca.pem"))...)
	b := s.Connect(clienttest.Login{User: bo})
	c.send("/to/"+string(bo), "-d", "over TLS")
	want(t, b.Next("in"), alerts, "over TLS")

	const untrusted = 60 // curl(1), EXIT CODES
	_, _, err := newCurler(t, base, basic(s.Broker, alerts)...).run("/to/"+string(bo), "-d", "over TLS")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != untrusted {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
	c.base = s.URL() // plain, on the same port, from this machine
	c.send("/to/"+string(bo), "-d", "plain as well")
	want(t, b.Next("in"), alerts, "plain as well")
}

// What can write to ntfy can write to a phone: its JSON, pushed, and as an SMS when the phone does not answer.
func TestNtfySenders(t *testing.T) {
	t.Parallel()
	s := clienttest.NewServer(t, push(nil))
	b := s.Connect(clienttest.Login{User: bo})
	c := newCurler(t, s.URL(), basic(s.Broker, alerts)...)
	const body = `{"topic":"` + string(bo) + `","title":"Low disk","message":"5 GB left on db1","priority":4,"tags":["warning"]}`
	const text = "Low disk\n5 GB left on db1"
	s.Hide("5 GB left on db1")
	c.send("/to", "-d", body)
	want(t, b.Next("in"), alerts, text)
	b.Silence()
	c.send("/to?after=1s", "-H", "Content-Type: application/json", "-d", body)
	if got := sms(t, s.Broker, 1, bo); got.Text != "alerts: "+text {
		t.Errorf("SMS %q", got.Text)
	}
}

// The webhooks of Alertmanager and Grafana: pushed, once however often they are sent, and as an SMS when the phone does not answer.
func TestWebhooksOfMonitoring(t *testing.T) {
	t.Parallel()
	for _, template := range []string{"alertmanager", "grafana"} {
		t.Run(template, func(t *testing.T) {
			t.Parallel()
			const samples = "../api/testdata/"
			body, err := os.ReadFile(samples + template + "-firing.json")
			text, err2 := os.ReadFile(samples + template + "-firing.txt")
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			s := clienttest.NewServer(t, push(nil))
			b := s.Connect(clienttest.Login{User: bo})
			c := newCurler(t, s.URL(), append(basic(s.Broker, alerts), "-H", "Content-Type: application/json")...)
			to := "/to/" + string(bo) + "?template=" + template

			firing := strings.TrimSuffix(string(text), "\n")
			s.Hide(firing)
			first := c.send(to, "--data-binary", string(body))
			want(t, b.Next("in"), alerts, firing)
			if again := c.send(to, "--data-binary", string(body)); again.ID != first.ID {
				t.Errorf("the retry is another message, %s and not %s", again.ID, first.ID)
			}

			b.Silence()
			resolved := strings.ReplaceAll(firing, "FIRING", "RESOLVED")
			c.send(to+"&after=1s", "--data-binary", strings.ReplaceAll(string(body), `"firing"`, `"resolved"`))
			want(t, b.Next("in"), alerts, resolved)
			if got := sms(t, s.Broker, 1, bo); got.Text != "alerts: "+resolved {
				t.Errorf("SMS %q", got.Text)
			}
			if left := b.Left(); len(left) != 0 {
				t.Errorf("the phone got more: %+v", left)
			}
		})
	}
}
