package kannel

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A program is one of Kannel's that runs.
type program struct {
	t     testing.TB
	name  string
	cmd   *exec.Cmd
	ended chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed at each line, and made anew
	log     []string
	read    int // lines of the log that await has passed
}

// run starts a program; each, which may be nil, gets every line of its log.
func (k *Kannel) run(name string, each func(line string), args ...string) *program {
	k.t.Helper()
	p := &program{t: k.t, name: name, cmd: exec.Command(k.found[name], args...), ended: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Dir = filepath.Dir(k.dir)
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // smsbox starts itself anew, as a child, when its bearerbox is gone
	if err := p.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // Kannel's programs end as they like; what they did is what counts
		in.Close()
	}()
	go func() {
		p.follow(out, each)
		close(p.ended)
	}()
	k.running = append(k.running, p)
	return p
}

// follow keeps the log.
func (p *program) follow(out io.Reader, each func(string)) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			if each != nil {
				each(line)
			}
			p.mu.Lock()
			p.log = append(p.log, line)
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// await returns when a line of the log that no await has passed contains text.
func (p *program) await(text string) {
	p.t.Helper()
	for limit := time.After(patience); ; {
		p.mu.Lock()
		changed, found := p.changed, false
		for ; p.read < len(p.log) && !found; p.read++ {
			found = strings.Contains(p.log[p.read], text)
		}
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-p.ended:
			p.t.Fatalf("%s ended and did not say %q:\n%s", p.name, text, p.tail())
		case <-limit:
			p.t.Fatalf("%s did not say %q within %v:\n%s", p.name, text, patience, p.tail())
		}
	}
}

// tail is the end of the log.
func (p *program) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log[max(0, len(p.log)-15):], "\n")
}

// stop asks the program and its children to end, and ends them when they do not.
func (p *program) stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM) // it has ended: that is what is wanted
	kill := time.AfterFunc(patience/3, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	defer kill.Stop()
	<-p.ended
}
