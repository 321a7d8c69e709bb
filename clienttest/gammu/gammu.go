// Package gammu starts Debian's gammu-smsd with its dummy modem, for tests: what it sends goes nowhere, and what it receives a test has put there.
//
// Measured on 1.42: it joins nothing. Of a long SMS it waits for all parts (or 10 min) and then writes a file each. The Unicode inbox files of a text that is
// not ASCII end in octets beyond the text. It notices a new file within about a second.
package gammu

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
)

// Patience is how long is waited for what must happen.
const Patience = 60 * time.Second

// A Gammu is a gammu-smsd whose folders are inbox, outbox, sent and error in Dir.
type Gammu struct {
	Dir string

	t      testing.TB
	cmd    *exec.Cmd
	exited chan error
	mos    int
}

// Require skips the test when gammu-smsd is not installed, or lets it fail when GODWIT_TEST_NO_SKIP is set.
func Require(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("gammu-smsd"); err == nil {
		return
	}
	const missing = "gammu-smsd is not installed (Debian: gammu-smsd)"
	if os.Getenv("GODWIT_TEST_NO_SKIP") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// Folders makes the folders of a gammu-smsd in dir.
func Folders(t testing.TB, dir string) {
	t.Helper()
	for _, f := range []string{"inbox", "outbox", "sent", "error", "modem/sms/1"} {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// Start starts a gammu-smsd over the folders in dir, which it makes, and stops it when the test ends. It may be started again after Stop.
func Start(t testing.TB, dir string) *Gammu {
	t.Helper()
	Require(t)
	Folders(t, dir)
	g := &Gammu{Dir: dir, t: t}
	config := fmt.Sprintf(`[gammu]
model = dummy
connection = none
device = %[1]s/modem

[smsd]
service = files
logfile = %[1]s/log
debuglevel = 0
commtimeout = 1
receivefrequency = 1
loopsleep = 1
statusfrequency = 0
checksecurity = 0
checkbattery = 0
checksignal = 0
checknetwork = 0
inboxpath = %[1]s/inbox/
outboxpath = %[1]s/outbox/
sentsmspath = %[1]s/sent/
errorsmspath = %[1]s/error/
inboxformat = unicode
transmitformat = auto
`, dir)
	if err := os.WriteFile(filepath.Join(dir, "smsdrc"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	g.Start()
	return g
}

// Start starts it again after Stop, over the same folders and modem.
func (g *Gammu) Start() {
	g.t.Helper()
	log := filepath.Join(g.Dir, "modem", "operations.log") // it makes that once the modem answers
	_ = os.Remove(log)
	cmd := exec.Command("gammu-smsd", "--config", filepath.Join(g.Dir, "smsdrc"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a ^C ends the tests, which end it
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.cmd, g.exited = cmd, make(chan error, 1)
	go func() { g.exited <- cmd.Wait() }()
	g.Await("gammu-smsd to talk to its modem", func() bool {
		_, err := os.Stat(log)
		return err == nil
	})
}

// Stop ends it.
func (g *Gammu) Stop() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.exited:
	case <-time.After(Patience):
		_ = g.cmd.Process.Kill()
		<-g.exited
	}
	g.cmd = nil
}

// Await waits until something is so.
func (g *Gammu) Await(what string, so func() bool) {
	g.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(Patience); !so(); <-ticker.C {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(g.Dir, "log"))
			g.t.Fatalf("waited %v for %s; the log of gammu-smsd:\n%s", Patience, what, log)
		}
	}
}

// A Sent is an SMS that went out.
type Sent struct {
	To   contacts.Number
	Text string
}

// Sent returns what the modem has sent and nobody has removed since, in the order of the files' names.
func (g *Gammu) Sent() (all []Sent) {
	g.t.Helper()
	entries, err := os.ReadDir(filepath.Join(g.Dir, "sent"))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, e := range entries {
		octets, err := os.ReadFile(filepath.Join(g.Dir, "sent", e.Name()))
		if err != nil {
			g.t.Fatal(err)
		}
		fields := strings.Split(e.Name(), "_")
		if !bytes.HasPrefix(octets, []byte{0xFE, 0xFF}) || len(fields) < 5 {
			continue // not one of the gateway's
		}
		all = append(all, Sent{To: contacts.Number(strings.TrimPrefix(fields[3], "+")), Text: sms.Decode(octets[2:], sms.UCS2)})
	}
	return slices.Clip(all)
}

// Receive puts an SMS into the modem. Several texts are the parts of a long one, in UCS-2 with an 8-bit reference (3GPP TS 23.040 §9.2.3.24.1). From may be a name.
func (g *Gammu) Receive(from string, text ...string) {
	g.t.Helper()
	g.mos++
	for i, part := range text {
		udh := ""
		if len(text) > 1 {
			udh = fmt.Sprintf("UDH = 050003%02X%02X%02X\n", byte(g.mos), len(text), i+1)
		}
		octets, err := sms.Encode(part, sms.UCS2)
		if err != nil {
			g.t.Fatal(err)
		}
		sender, err := sms.Encode(from, sms.UCS2)
		if err != nil {
			g.t.Fatal(err)
		}
		// gammu-smsbackup(5). The time is what tells SMS apart.
		backup := fmt.Sprintf("[SMSBackup000]\nSMSC = \"+491710760000\"\nSent = %s\nState = UnRead\nNumber = \"%s\"\nNumberUnicode = %X\nCoding = Unicode_No_Compression\n"+
			"Folder = 1\nLength = %d\nText00 = %X\n%s", time.Now().Format("20060102T150405"), from, sender, len(octets)/2, octets, udh)
		g.put(backup)
	}
}

// put makes a file at the first free place of the modem's memory.
func (g *Gammu) put(backup string) {
	g.t.Helper()
	hidden := filepath.Join(g.Dir, "modem", hex.EncodeToString([]byte(fmt.Sprint(time.Now().UnixNano()))))
	if err := os.WriteFile(hidden, []byte(backup), 0o600); err != nil {
		g.t.Fatal(err)
	}
	defer os.Remove(hidden)
	for place := 1; place <= 50; place++ {
		if os.Link(hidden, filepath.Join(g.Dir, "modem", "sms", "1", fmt.Sprint(place))) == nil {
			return
		}
	}
	g.t.Fatal("the memory of the modem is full")
}
