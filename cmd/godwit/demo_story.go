package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/picture"
)

// A story tells what happens, line by line, from several goroutines. With --json it tells the five paths only, as godwit explain would.
type story struct {
	app *app
	mu  sync.Mutex
}

func (s *story) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.app.json {
		fmt.Fprintf(s.app.stdout, format, args...)
	}
}

func (s *story) line(who, what string) {
	s.tell("   %s  %-12s %s\n", time.Now().Format("15:04:05.000"), who, what)
}

func (s *story) open(where broker.Addresses) {
	s.tell("Godwit demo: a broker on this machine, two phones, and an SMS network.\n\n"+
		"   MQTT    %s\n   HTTP    http://%s\n   Ann     +%s, has the app\n   Bo      +%s, has the app\n   Cleo    +%s, has no app\n",
		where.MQTT, where.HTTP, numberAnn, numberBo, numberCleo)
}

func (s *story) chapter(n int, title, words string) {
	s.tell("\n%d  %s\n   %s\n\n", n, title, words)
}

func (s *story) end() { s.tell("\nThe five paths are done.\n") }

func (s *story) next(where broker.Addresses, server string) {
	host, port, _ := strings.Cut(where.MQTT, ":")
	s.tell(`
The broker stays up, Bo's phone is back, and what the phones and the SMS network get is shown here. Try in another terminal:

   %[9]s send --server %[1]s --user %[2]s --wait %[3]s 'Hello Bo'
   %[9]s send --server %[1]s --user boiler --wait %[4]s 'Cellar is at 4 degrees'
   %[9]s listen --server %[1]s --user %[2]s
   %[9]s messages --admin %[5]s
   %[9]s explain --admin %[5]s ID

   mosquitto_pub -h %[6]s -p %[7]s -u boiler -q 1 -t to/%[3]s -m 'Hello from mosquitto'
   mosquitto_sub -h %[6]s -p %[7]s -u dan -q 1 -t 'u/dan/#' -v
   curl -s http://%[8]s/readyz

Ctrl-C ends it, and leaves nothing behind.

`, server, numberAnn, numberBo, numberCleo, where.Admin, host, port, where.HTTP, program())
}

// program is how this one is called in another terminal.
func program() string {
	if _, err := exec.LookPath("godwit"); err == nil {
		return "godwit"
	}
	path, err := os.Executable()
	if err != nil || strings.Contains(path, "go-build") { // go run keeps it only while it runs
		return "go run ./cmd/godwit"
	}
	return path
}

// show draws the path that a message took, as the operator's API tells it.
func (d *demo) show(ctx context.Context, id string) error {
	p, err := d.explain(ctx, id)
	if err != nil {
		return err
	}
	return d.story.draw(p)
}

// showWhenConfirmed is for what nobody is told a receipt of: an SMS that came in.
func (d *demo) showWhenConfirmed(ctx context.Context, id string) error {
	for {
		p, err := d.explain(ctx, id)
		if err != nil {
			return err
		}
		if p.Message.Final {
			return d.story.draw(p)
		}
		if !wait(ctx, 20*time.Millisecond) {
			return failed("demo", "message %s was not confirmed in %v", id, pathTimeout)
		}
	}
}

func (d *demo) explain(ctx context.Context, id string) (p picture.Path, err error) {
	_, err = d.ask.ask(ctx, "GET", "/v1/admin/messages/"+id, nil, &p)
	return p, err
}

func (s *story) draw(p picture.Path) error {
	if s.app.json {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.app.object(p)
	}
	if name, known := cast[p.Message.From]; known {
		p.Message.From = name
	}
	drawn := strings.TrimRight(picture.Full(p, time.Local), "\n")
	s.tell("\n  %s\n", strings.ReplaceAll(drawn, "\n", "\n  "))
	return nil
}

var cast = map[string]string{numberAnn: "Ann", numberBo: "Bo", numberCleo: "Cleo"}

// network is where the SMS network prints: one line an SMS.
func (s *story) network() io.Writer { return networkWriter{s} }

type networkWriter struct{ story *story }

func (w networkWriter) Write(line []byte) (int, error) {
	for _, text := range bytes.Split(bytes.TrimSpace(line), []byte("\n")) {
		var m struct {
			From string `json:"from"`
			To   string `json:"to"`
			Text string `json:"text"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return 0, err
		}
		w.story.line("SMS network", fmt.Sprintf("✉ from %s to +%s  %s", m.From, m.To, printable(m.Text)))
	}
	return len(line), nil
}
