package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/clienttest/leak"
	main "github.com/seed-7a41469f/godwit/cmd/godwit"
)

// quiet is for servers whose complaints are expected.
var quiet = log.New(io.Discard, "", 0)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

// A result is what a run of the program left.
type result struct {
	out, err string
	exit     int
}

// godwit runs the program to its end.
func godwit(t *testing.T, args ...string) result {
	t.Helper()
	return godwitWith(t, "", args...)
}

func godwitWith(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	exit := main.Run(ctx, args, strings.NewReader(stdin), &out, &errs)
	if ctx.Err() != nil {
		t.Fatalf("godwit %v did not end: %s %s", args, out.String(), errs.String())
	}
	return result{out.String(), errs.String(), exit}
}

// want fails unless the program ended with an exit status and standard error begins with a text.
func (r result) want(t *testing.T, exit int, stderr string) result {
	t.Helper()
	if r.exit != exit || !strings.HasPrefix(r.err, stderr) || stderr == "" && r.err != "" {
		t.Fatalf("exit %d, want %d; standard error %q, want %q…; standard output %q", r.exit, exit, r.err, stderr, r.out)
	}
	if exit > 1 && r.out != "" {
		t.Fatalf("standard output of a mistake: %q", r.out)
	}
	return r
}

// objects reads one JSON object a line.
func objects[T any](t *testing.T, r result) (list []T) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(r.out))
	for lines.Scan() {
		var v T
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		list = append(list, v)
	}
	return list
}

// object reads exactly one.
func object[T any](t *testing.T, r result) T {
	t.Helper()
	list := objects[T](t, r)
	if len(list) != 1 {
		t.Fatalf("%d objects: %q", len(list), r.out)
	}
	return list[0]
}

// A background run goes on while the test does.
type background struct {
	t        *testing.T
	out, err *tap
	cancel   context.CancelFunc
	ended    chan struct{}
	exit     int

	numbers, texts []string // that a broker's log must not have
}

// hide takes note of what commands to a broker say: numbers, texts and tokens.
func (b *background) hide(args []string) {
	for _, arg := range args {
		if n, err := api.ParseNumber("", arg, "DE"); err == nil {
			b.numbers = append(b.numbers, string(n))
		} else if !strings.HasPrefix(arg, "-") && !words[arg] {
			b.texts = append(b.texts, arg)
		}
	}
}

// words are those of commands which may well be in a log.
var words = map[string]bool{"delivered": true, "carrier": true, "unmatched": true, "messages": true}

// checkLog runs when the broker has stopped.
func (b *background) checkLog() {
	b.t.Helper()
	text := b.err.String()
	for _, found := range leak.Find(text, b.numbers, b.texts) {
		b.t.Errorf("the broker's log has in it %s", found)
	}
	leak.Keep(b.t, text)
}

func inBackground(t *testing.T, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{t: t, out: newTap(), err: newTap(), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		b.exit = main.Run(ctx, args, strings.NewReader(""), b.out, b.err)
	}()
	t.Cleanup(func() {
		b.interrupt()
		if args[0] == "serve" {
			b.checkLog()
		}
	})
	return b
}

// interrupt is Ctrl-C.
func (b *background) interrupt() result {
	b.t.Helper()
	b.cancel()
	return b.wait()
}

func (b *background) wait() result {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(patience):
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		b.t.Fatalf("it does not end: %s", b.err.String())
	}
	return result{b.out.String(), b.err.String(), b.exit}
}

// A tap keeps what is written and lets a test wait for a text.
type tap struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

var _ io.Writer = (*tap)(nil)

func newTap() *tap { return &tap{news: make(chan struct{})} }

func (w *tap) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.news)
	w.news = make(chan struct{})
	return w.text.Write(p)
}

func (w *tap) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// line waits for a line with a text in it.
func (w *tap) line(t *testing.T, part string) string {
	t.Helper()
	end := time.After(patience)
	for {
		w.mu.Lock()
		text, news := w.text.String(), w.news
		w.mu.Unlock()
		for line := range strings.Lines(text) {
			if strings.Contains(line, part) && strings.HasSuffix(line, "\n") {
				return line
			}
		}
		select {
		case <-news:
		case <-end:
			t.Fatalf("no line with %q in %q", part, text)
		}
	}
}

// A server is godwit serve under test.
type server struct {
	*background
	file              string // its configuration
	mqtt, mqtts, http string // host:port
}

// serve runs the broker with a configuration that is added to one for tests, and waits until it is ready.
func serve(t *testing.T, extra string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &server{file: filepath.Join(dir, "godwit.yaml")}
	s.run(t, "127.0.0.1:0", extra)
	return s
}

// run starts it on an MQTT address; again, after it was stopped.
func (s *server) run(t *testing.T, mqtt, extra string) {
	t.Helper()
	text := fmt.Sprintf("data: data\nlisten: {mqtt: %q, http: \"127.0.0.1:0\"}\nlog: {format: json}\npush: {restart_grace: 0, offline_grace: 0}\n%s\n", mqtt, extra)
	if !strings.Contains(extra, "disk_free") {
		text += "limits: {disk_free: 0}\n"
	}
	if !strings.Contains(extra, "auth:") {
		text += "auth: {mode: open}\n"
	}
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.background = inBackground(t, "serve", "--json", "--config", s.file)
	select {
	case <-s.ended:
		t.Fatalf("serve: %s", s.err.String())
	default:
	}
	var ready struct{ MQTT, MQTTS, HTTP string }
	if err := json.Unmarshal([]byte(s.err.line(t, `"message":"ready"`)), &ready); err != nil {
		t.Fatal(err)
	}
	s.mqtt, s.mqtts, s.http = ready.MQTT, ready.MQTTS, ready.HTTP
}

// as are the flags of a client command for a user.
func (s *server) as(user string, command ...string) []string {
	s.hide(append(command, user))
	return append(command, "--server", "mqtt://"+s.mqtt, "--user", user)
}

// op are the flags of an operator command.
func (s *server) op(command ...string) []string {
	s.hide(command)
	return append(command, "--config", s.file, "--json")
}
