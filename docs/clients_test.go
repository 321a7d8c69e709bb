package docs_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
)

// shown returns the code block of a section of clients.md that has a text in it.
func shown(t *testing.T, title, part string) string {
	t.Helper()
	for _, block := range fenced.FindAllString(section(read(t, "clients.md"), title), -1) {
		if strings.Contains(block, part) {
			_, code, _ := strings.Cut(block, "\n")
			return strings.TrimSuffix(strings.TrimSuffix(code, "```"), "\n")
		}
	}
	t.Fatalf("clients.md has no code with %s under %s", part, title)
	return ""
}

// What clients.md shows is run as it stands: only the broker is another one.
func TestExamplesOfClientsWork(t *testing.T) {
	e := newExamples(t)
	e.run(alerts, shown(t, "## mosquitto over TLS", "mosquitto_pub"))
	e.arrives("boiler-7", "Water in the cellar")
	e.run(alerts, shown(t, "## curl", "curl"))
	e.arrives(alerts, "Water in the cellar")
	e.run(alerts, shown(t, "## What writes to ntfy", "curl"))
	e.arrives(alerts, "Low disk\n5 GB left on db1")

	for title, sample := range map[string]string{"## Alertmanager": "alertmanager", "## Grafana": "grafana"} {
		yaml := shown(t, title, "username: "+string(alerts))
		url := regexp.MustCompile(`url: (\S+)`).FindStringSubmatch(yaml)
		body, err := filepath.Abs("../api/testdata/" + sample + "-firing.json")
		if err != nil || url == nil {
			t.Fatalf("%s: %v", yaml, err)
		}
		e.run(alerts, `curl -sS --fail --cacert ca.pem -u "alerts:$TOKEN" --data-binary @`+body+` '`+url[1]+`'`)
		e.arrives(alerts, strings.TrimSuffix(read(t, "../api/testdata/"+sample+"-firing.txt"), "\n"))
	}

	// A device that is new and will be remembered begins with what the inbox has.
	out := e.run(me, shown(t, "## mosquitto over TLS", "mosquitto_sub")+" -C 1")
	if !strings.Contains(out, "u/"+string(me)+"/in/boiler-7/") || !strings.Contains(out, " Water in the cellar\n") {
		t.Errorf("mosquitto_sub: %s", out)
	}
	e.javaScript(shown(t, "## MQTT.js", "connect"))
}

// The cast of clients.md.
const (
	me     contacts.Address = "4917604069001"
	friend contacts.Address = "4917604069002"
	alerts contacts.Address = "alerts"
)

// examples is where they run: a broker, and a directory with the files that they name.
type examples struct {
	t     *testing.T
	b     *clienttest.Server
	dir   string
	here  *strings.Replacer
	phone *clienttest.Phone // mine
}

func newExamples(t *testing.T) *examples {
	modules := needClients(t)
	dir := t.TempDir()
	ca, server := clienttest.NewAuthority(t), filepath.Join(dir, "server")
	if err := os.Mkdir(server, 0o700); err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Issue("localhost", time.Now().Add(time.Hour)).Write(t, server)
	ca.Issue("boiler-7", time.Now().Add(time.Hour)).Write(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	b := clienttest.NewServer(t, func(c *config.Config) {
		c.Listen.MQTTS = "127.0.0.1:0"
		c.Listen.TLS = config.TLS{CertFile: config.Path(cert), KeyFile: config.Path(key), ClientCAFile: config.Path(filepath.Join(dir, "ca.pem"))}
	})
	_, port, _ := strings.Cut(b.Addresses().MQTTS, ":")
	here := strings.NewReplacer("-h push.example.org -p 8883", "-h 127.0.0.1 -p "+port, "push.example.org", b.Addresses().HTTP)
	return &examples{t, b, dir, here, b.Connect(clienttest.Login{User: me})}
}

// needClients skips the test when a client is missing, and returns where JavaScript's are.
func needClients(t *testing.T) (modules string) {
	modules, err := filepath.Abs("../clienttest/_node/node_modules")
	if err == nil {
		_, err = os.Stat(filepath.Join(modules, "mqtt"))
	}
	for _, program := range []string{"bash", "curl", "node", "mosquitto_pub", "mosquitto_sub"} {
		if err == nil {
			_, err = exec.LookPath(program)
		}
	}
	switch {
	case err != nil && os.Getenv("GODWIT_TEST_NO_SKIP") != "":
		t.Fatalf("%v (.ci/need installs it)", err)
	case err != nil:
		t.Skipf("%v (.ci/need installs it)", err)
	}
	return modules
}

// command is one that a user types.
func (e *examples) command(user contacts.Address, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(e.t.Context(), name, args...)
	cmd.Dir, cmd.Env = e.dir, append(os.Environ(), "TOKEN="+e.b.Token(user), "NODE_EXTRA_CA_CERTS=ca.pem")
	return cmd
}

func (e *examples) run(user contacts.Address, code string) (out string) {
	e.t.Helper()
	all, err := e.command(user, "bash", "-c", e.here.Replace(code)).CombinedOutput()
	if err != nil {
		e.t.Errorf("%s\n%v: %s", code, err, all)
	}
	return string(all)
}

func (e *examples) arrives(from contacts.Address, text string) {
	e.t.Helper()
	if got := e.phone.Next("in"); got.Peer != from || got.Payload != text {
		e.t.Errorf("%q from %s; want %q from %s", got.Payload, got.Peer, text, from)
	}
}

// javaScript runs a program: it writes to a friend, who answers.
func (e *examples) javaScript(code string) {
	t, friend := e.t, e.b.Connect(clienttest.Login{User: friend})
	if err := os.WriteFile(filepath.Join(e.dir, "client.mjs"), []byte(e.here.Replace(code)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := e.command(me, "node", "client.mjs")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	patient, cancel := context.WithTimeout(t.Context(), clienttest.Patience)
	defer cancel()
	unhook := context.AfterFunc(patient, func() { _ = cmd.Process.Kill() })
	defer unhook()
	got := friend.Next("in")
	if got.Payload != "Lunch at one?" {
		t.Errorf("the friend got %q", got.Payload)
	}
	friend.Publish("to/"+string(got.Peer), "Gladly!")
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		seen["lunch-1 is delivered"] = seen["lunch-1 is delivered"] || line == "lunch-1 is delivered"
		seen["Gladly!"] = seen["Gladly!"] || strings.HasPrefix(line, string(friend.User)+" writes: Gladly! (")
		if seen["lunch-1 is delivered"] && seen["Gladly!"] {
			break
		}
	}
	if !seen["lunch-1 is delivered"] || !seen["Gladly!"] {
		t.Errorf("it did not print the receipt and the answer: %v", seen)
	}
	_ = cmd.Process.Kill() // it listens on
	_ = cmd.Wait()
}
