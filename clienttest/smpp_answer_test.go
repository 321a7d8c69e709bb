package clienttest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// TestSMPPKill kills the built `godwit serve` with SIGKILL between submits and their responses: none is sent twice, and what the carrier reports is delivered.
func TestSMPPKill(t *testing.T) {
	t.Parallel()
	smsc := newSMSC(t, smstest.SMPPOptions{})
	p := clienttest.StartProcess(t, smppTo(smsc, nil))
	s := &smppStage{t: t, Broker: p.Broker, smsc: smsc, killed: true}
	s.Hide("secret")
	t.Cleanup(s.tell)
	smsc.On(func(smstest.Submitted) smstest.SMPPFault { return smstest.SMPPFault{Late: 300 * time.Millisecond} })
	s.ann = p.Connect(clienttest.Login{User: ann, Persistent: true})
	s.publish(44)
	s.waitTaken(13)
	p.Kill()
	p.Start()
	smsc.Clear()
	s.ann = p.Connect(clienttest.Login{User: ann, Persistent: true})
	if unknown := s.ends(); unknown > 10 { // none when all reports came before the hold began
		t.Errorf("%d messages were unknown, want at most a window", unknown)
	}
}

// TestSMPPAnswers has phones answer in every form that an SMSC may give it.
func TestSMPPAnswers(t *testing.T) {
	t.Parallel()
	s := newSMPPStage(t, smstest.SMPPOptions{}, nil, nil)
	long := func(text string) string { return strings.Repeat(text+" {€} ", 30) }
	for _, c := range []struct {
		name, text string
		mo         smstest.MO
	}{
		{"GSM 7", "Gladly at 4 €", smstest.MO{}},
		{"UCS-2", "好的 🙂", smstest.MO{Coding: 8}},
		{"Latin-1", "Grüße à ÿ", smstest.MO{Coding: 3}},
		{"udh8", long("one"), smstest.MO{Concat: smstest.UDH8}},
		{"udh16", long("two"), smstest.MO{Concat: smstest.UDH16}},
		{"sar", long("three"), smstest.MO{Concat: smstest.SAR}},
		{"message_payload", long("four"), smstest.MO{Concat: smstest.Payload}},
		{"UCS-2, udh8", strings.Repeat("当然可以🙂", 30), smstest.MO{Coding: 8, Concat: smstest.UDH8}},
		{"reordered", long("five"), smstest.MO{Concat: smstest.UDH8, Parts: []int{2, 1, 3}}},
		{"duplicated", long("six"), smstest.MO{Concat: smstest.UDH16, Parts: []int{1, 1, 3, 2}}},
	} {
		s.publish(1)
		peer := number(len(s.sent) - 1)
		first := s.ann.Final(key(len(s.sent) - 1))
		c.mo.From, c.mo.To, c.mo.Text = smstest.Phone(peer), smstest.Phone(string(clienttest.OurNumber)), c.text
		statuses, err := s.smsc.MO(s.ctx(), c.mo)
		if err != nil || slices.ContainsFunc(statuses, func(status uint32) bool { return status != 0 }) {
			t.Errorf("%s: answered %#x, %v", c.name, statuses, err)
		}
		got := s.ann.Next("sms")
		if want(t, got, contacts.Address(peer), c.text); got.Properties["in_reply_to"] != first.ID {
			t.Errorf("%s: it answers %q, want %s", c.name, got.Properties["in_reply_to"], first.ID)
		}
	}
	s.sameReference(long)
	for _, v := range s.smsc.Violations() {
		t.Errorf("violation: %s", v)
	}
	if left := s.ann.Left(); slices.ContainsFunc(left, func(a clienttest.Arrival) bool { return a.Kind == "sms" }) {
		t.Errorf("something came twice: %+v", left)
	}
}

// sameReference has two phones answer at once, with the same reference in their long SMS.
func (s *smppStage) sameReference(long func(string) string) {
	s.t.Helper()
	texts := map[contacts.Address]string{}
	s.publish(2)
	for i := range 2 {
		n := len(s.sent) - 1 - i
		s.ann.Final(key(n))
		text := long(key(n))
		texts[contacts.Address(number(n))] = text
		for _, part := range []int{1 + i, 2 - i, 3} {
			if _, err := s.smsc.Send(smstest.MO{
				From: smstest.Phone(number(n)), To: smstest.Phone(string(clienttest.OurNumber)), Text: text, Concat: smstest.UDH8, Ref: 77, Parts: []int{part},
			}); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	for range 2 {
		got := s.ann.Next("sms")
		want(s.t, got, got.Peer, texts[got.Peer])
		delete(texts, got.Peer)
	}
	if err := s.smsc.Quiet(s.ctx()); err != nil {
		s.t.Error(err)
	}
}

// TestSMPPStorageFailing: an answer that cannot be stored is refused with ESME_RX_T_APPN (0x64), comes again, and is stored once.
func TestSMPPStorageFailing(t *testing.T) {
	t.Parallel()
	smsc := newSMSC(t, smstest.SMPPOptions{})
	broker := clienttest.NewServer(t, smppTo(smsc, nil))
	s := &smppStage{t: t, Broker: broker.Broker, smsc: smsc, ann: broker.Connect(clienttest.Login{User: ann, Persistent: true})}
	t.Cleanup(s.tell)
	s.publish(1)
	s.ann.Final(key(0))
	restart := func(free config.Size) {
		s.ann.Disconnect()
		broker.Stop()
		broker.Reconfigure(func(c *config.Config) { c.Limits.DiskFree = free })
		broker.Start()
		if err := smsc.Bound(s.ctx(), 1); err != nil {
			t.Fatal(err)
		}
		s.ann = s.Connect(clienttest.Login{User: ann, Persistent: true})
	}
	restart(1 << 50) // the disk is full
	text := strings.Repeat("Gladly, where? ", 20)
	statuses, err := smsc.MO(s.ctx(), smstest.MO{From: smstest.Phone(number(0)), To: smstest.Phone(string(clienttest.OurNumber)), Text: text})
	if err != nil || len(statuses) != 2 || slices.ContainsFunc(statuses, func(status uint32) bool { return status != 0x64 }) {
		t.Fatalf("answered %#x, %v; want 0x64", statuses, err)
	}
	restart(0)
	want(t, s.ann.Next("sms"), contacts.Address(number(0)), text)
	if err := smsc.Quiet(s.ctx()); err != nil {
		t.Error(err)
	}
	if all := s.Messages(); len(all) != 2 {
		t.Errorf("there are %d messages, want Ann's and its answer: %+v", len(all), all)
	}
	for _, v := range smsc.Violations() {
		t.Errorf("violation: %s", v)
	}
}
