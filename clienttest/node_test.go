package clienttest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
)

// nodeDir is where JavaScript's clients are.
const nodeDir = "_node"

// needNode skips a test whose clients of JavaScript are missing.
func needNode(t *testing.T) {
	t.Helper()
	need(t, "node")
	if _, err := os.Stat(filepath.Join(nodeDir, "node_modules", "mqtt")); err == nil {
		return
	}
	missing(t, "the npm packages of clienttest/_node are not installed (.ci/need does it)")
}

// need skips a test that needs programs which are missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program+" is not installed (.ci/need does it)")
		}
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("GODWIT_TEST_NO_SKIP") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// node runs a script, or what the arguments say, to its end, and returns what it printed.
func node(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = nodeDir
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %q: %v: %s%s", args, err, out, complaint.Bytes())
	}
	return string(out)
}

// A nodeJS is a process of Node.js in which MQTT.js runs as many clients as are wanted (_node/mqtt.mjs).
type nodeJS struct {
	t  *testing.T
	in io.WriteCloser

	mu      sync.Mutex
	n       int
	answers map[int]nodeLine
	events  []nodeLine
	news    chan struct{} // closed at each line, and made anew
}

// A nodeLine is one that the process prints: the answer to an order, or an event of a client.
type nodeLine struct {
	N      int
	Client string
	Event  string

	Code    int
	Error   string
	ID      string
	Present bool

	Topic      string
	Payload    []byte
	Duplicate  bool
	Properties map[string]string
}

// startNode starts the process; env may add to its environment. It ends with the test.
func startNode(t *testing.T, env ...string) *nodeJS {
	t.Helper()
	needNode(t)
	j := &nodeJS{t: t, answers: map[int]nodeLine{}, news: make(chan struct{})}
	cmd := exec.Command("node", "mqtt.mjs")
	cmd.Dir, cmd.Env = nodeDir, append(os.Environ(), env...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if j.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		j.read(out)
	}()
	t.Cleanup(func() {
		_ = j.in.Close() // which ends it
		kill := time.AfterFunc(clienttest.Patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-read
		if err := cmd.Wait(); err != nil || complaint.Len() > 0 {
			t.Errorf("node ended with %v: %s", err, complaint.Bytes())
		}
	})
	return j
}

func (j *nodeJS) read(out io.Reader) {
	for lines := bufio.NewReader(out); ; {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var l nodeLine
		if err := json.Unmarshal(text, &l); err != nil {
			j.t.Errorf("node printed %s: %v", text, err)
			continue
		}
		j.mu.Lock()
		if l.N > 0 {
			j.answers[l.N] = l
		} else {
			j.events = append(j.events, l)
		}
		close(j.news)
		j.news = make(chan struct{})
		j.mu.Unlock()
	}
}

// ask gives an order and waits for the answer.
func (j *nodeJS) ask(client, do string, order map[string]any) nodeLine {
	j.t.Helper()
	j.mu.Lock()
	j.n++
	n := j.n
	j.mu.Unlock()
	line := map[string]any{"n": n, "client": client, "do": do}
	for k, v := range order {
		line[k] = v
	}
	text, err := json.Marshal(line)
	if err == nil {
		_, err = j.in.Write(append(text, '\n'))
	}
	if err != nil {
		j.t.Fatal(err)
	}
	return j.await("the answer to "+do+" of "+client, func() (l nodeLine, ok bool) {
		l, ok = j.answers[n]
		return l, ok
	})
}

// await waits until something has come, which it looks for under the lock.
func (j *nodeJS) await(what string, look func() (nodeLine, bool)) nodeLine {
	j.t.Helper()
	end := time.After(clienttest.Patience)
	for {
		j.mu.Lock()
		l, ok := look()
		news, events := j.news, j.events
		j.mu.Unlock()
		if ok {
			return l
		}
		select {
		case <-news:
		case <-end:
			j.t.Fatalf("node did not tell %s within %v; there are %+v", what, clienttest.Patience, events)
		}
	}
}

// event waits for the first event of a client that is wanted, and takes it out.
func (j *nodeJS) event(client, name string, wanted func(nodeLine) bool) nodeLine {
	j.t.Helper()
	return j.await(name+" of "+client, func() (l nodeLine, ok bool) {
		i := slices.IndexFunc(j.events, func(l nodeLine) bool { return l.Client == client && l.Event == name && wanted(l) })
		if i < 0 {
			return l, false
		}
		l = j.events[i]
		j.events = slices.Delete(j.events, i, i+1)
		return l, true
	})
}

func whichever(nodeLine) bool { return true }

// A jsLogin is how MQTT.js connects.
type jsLogin struct {
	URL, User, Password string
	Version             clienttest.Version
	Persistent          bool
	Reconnect           bool           // by itself
	Options             map[string]any // more of MQTT.js's own
}

// A jsPhone is a client of MQTT.js.
type jsPhone struct {
	on      *nodeJS
	Name    string
	Present bool // as the first CONNACK had it
}

// connect logs a client in that has the user's own name, and subscribes it to the whole inbox, which is left out when the session is there.
func (j *nodeJS) connect(user contacts.Address, l jsLogin) *jsPhone {
	j.t.Helper()
	a := j.dial(string(user), l)
	if a.Code != 0 || a.Error != "" {
		j.t.Fatalf("%s was refused with %d: %s", user, a.Code, a.Error)
	}
	p := &jsPhone{on: j, Name: string(user), Present: a.Present}
	p.connected()
	if !a.Present {
		if s := j.ask(p.Name, "subscribe", map[string]any{"topic": delivery.Topic(user, "#")}); s.Code != 1 || s.Error != "" {
			j.t.Fatalf("the inbox of %s: SUBACK %d: %s", user, s.Code, s.Error)
		}
	}
	return p
}

// dial connects a client and returns what it was answered.
func (j *nodeJS) dial(name string, l jsLogin) nodeLine {
	j.t.Helper()
	options := map[string]any{"protocolVersion": l.Version, "clientId": "browser", "clean": !l.Persistent, "password": l.Password}
	if l.User != "" {
		options["username"] = l.User
	}
	if l.Persistent && l.Version == clienttest.V5 {
		options["properties"] = map[string]any{"sessionExpiryInterval": 3600}
	}
	if l.Reconnect {
		options["reconnectPeriod"] = 20 // ms
	}
	for k, v := range l.Options {
		options[k] = v
	}
	return j.ask(name, "connect", map[string]any{"url": l.URL, "options": options})
}

// connected waits for the next CONNACK, and returns whether there was a session.
func (p *jsPhone) connected() (present bool) {
	p.on.t.Helper()
	return p.on.event(p.Name, "connect", whichever).Present
}

// publish returns when the PUBACK has come, with its reason code and, on MQTT 5, the id of the message.
func (p *jsPhone) publish(topic, text string, properties map[string]any) (code int, id string) {
	p.on.t.Helper()
	a := p.on.ask(p.Name, "publish", map[string]any{"topic": topic, "payload": []byte(text), "properties": properties})
	if a.Error != "" && a.Code == 0 {
		p.on.t.Fatalf("%s publishes to %s: %s", p.Name, topic, a.Error)
	}
	return a.Code, a.ID
}

// next waits for the next message of a kind.
func (p *jsPhone) next(kind string) clienttest.Arrival {
	p.on.t.Helper()
	return p.arrival(func(a clienttest.Arrival) bool { return a.Kind == kind })
}

// final waits for the last receipt of a message, given by its key or id.
func (p *jsPhone) final(name string) (r delivery.ReceiptBody) {
	p.on.t.Helper()
	p.arrival(func(a clienttest.Arrival) bool {
		if a.Kind != "receipt" || a.ID != name {
			return false
		}
		var err error
		r, err = a.Receipt()
		return err == nil && r.Final
	})
	return r
}

func (p *jsPhone) arrival(wanted func(clienttest.Arrival) bool) clienttest.Arrival {
	p.on.t.Helper()
	read := func(l nodeLine) clienttest.Arrival {
		a := clienttest.ArrivalOf(l.Topic, l.Payload)
		a.Duplicate, a.Properties = l.Duplicate, l.Properties
		return a
	}
	return read(p.on.event(p.Name, "message", func(l nodeLine) bool { return wanted(read(l)) }))
}

// drop breaks the connection.
func (p *jsPhone) drop() {
	p.on.t.Helper()
	p.on.ask(p.Name, "drop", nil)
	p.on.event(p.Name, "close", whichever)
}

// end signs off.
func (p *jsPhone) end() {
	p.on.t.Helper()
	if a := p.on.ask(p.Name, "end", nil); a.Error != "" {
		p.on.t.Fatal(a.Error)
	}
}
