package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smpp"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// TestReceipts are the forms in which receipts come.
func TestReceipts(t *testing.T) {
	for name, receipt := range map[string]smstest.Receipt{
		"TLVs and text":            {},
		"TLVs only":                {Form: smstest.TLVsOnly},
		"text only":                {Form: smstest.TextOnly},
		"text only, esm_class 0":   {Form: smstest.TextOnly, Plain: true},
		"TLVs only, esm_class 0":   {Form: smstest.TLVsOnly, Plain: true},
		"12-digit dates":           {Form: smstest.TextOnly, Seconds: true},
		"fields missing":           {Form: smstest.TextOnly, Leave: []string{"sub", "dlvrd", "submit date", "done date", "err", "text"}},
		"hexadecimal err":          {Form: smstest.TextOnly, Err: "04B"},
		"NUL":                      {Form: smstest.TextOnly, NUL: true},
		"upper case":               {ID: smstest.HexUpper},
		"upper case, leading zero": {ID: smstest.HexPadded, Form: smstest.TextOnly},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, smstest.SMPPOptions{Receipt: receipt, FirstID: 0xABCDEF})
			g := run(t, s, nil)
			for i, c := range []struct {
				word  string
				state sms.DLRState
			}{{"DELIVRD", sms.DeliveredSMS}, {"UNDELIV", sms.Undelivered}, {"EXPIRED", sms.Undelivered}, {"DELETED", sms.Undelivered},
				{"REJECTD", sms.Undelivered}, {"ACCEPTD", sms.Enroute}, {"ENROUTE", sms.Enroute}, {"UNKNOWN", sms.Enroute}} {
				s.Next(1, smstest.SMPPFault{States: []string{c.word}})
				outcomes := g.Submit(soon(t), message(i, "id: stat: hello"))
				want(t, outcomes, 0)
				dlrs, _ := g.wait(t, i+1, 0)
				d := dlrs[i]
				if d.ID != outcomes[0].ID || d.ID == "" || d.State != c.state || d.To != peer || d.From != ours || !strings.HasPrefix(d.Detail, "stat:"+c.word) {
					t.Errorf("%s: %+v, submitted as %q", c.word, d, outcomes[0].ID)
				}
				if receipt.Err != "" && !strings.HasSuffix(d.Detail, "err:"+receipt.Err) || strings.Contains(d.Detail, "hello") {
					t.Errorf("Detail %q", d.Detail)
				}
			}
		})
	}
}

// TestIDs: responses and receipts have them in any base.
func TestIDs(t *testing.T) {
	bases := map[smpp.IDBase][]smstest.IDForm{smpp.Hex: {smstest.Hex, smstest.HexUpper, smstest.HexPadded}, smpp.Decimal: {smstest.Decimal, smstest.Padded}}
	for response, responses := range bases {
		for receipt, receipts := range bases {
			for _, a := range responses {
				for _, b := range receipts {
					t.Run(fmt.Sprintf("%s %s", a, b), func(t *testing.T) {
						s := serve(t, smstest.SMPPOptions{ResponseID: a, Receipt: smstest.Receipt{ID: b}, FirstID: 0xA0B1C2D3E4})
						g := run(t, s, func(c *smpp.Config) { c.ResponseID, c.ReceiptID = response, receipt })
						outcomes := g.Submit(soon(t), message(1, "x"))
						dlrs, _ := g.wait(t, 1, 0)
						if dlrs[0].ID != outcomes[0].ID || dlrs[0].ID == "" {
							t.Errorf("%q is reported as %q", outcomes[0].ID, dlrs[0].ID)
						}
					})
				}
			}
		}
	}
}

// TestDLRBeforeTheAnswer: the sink gets it while the submit still waits.
func TestDLRBeforeTheAnswer(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, func(c *smpp.Config) { c.Window = 1 })
	s.Next(1, smstest.SMPPFault{DLR: smstest.Early, Late: 200 * time.Millisecond})
	outcome := make(chan []sms.Outcome, 1)
	go func() { outcome <- g.Submit(context.Background(), message(1, "x")) }()
	dlrs, _ := g.wait(t, 1, 0)
	select {
	case <-outcome:
		t.Error("the answer was first")
	default:
	}
	got := <-outcome
	want(t, got, 0)
	if dlrs[0].ID != got[0].ID {
		t.Errorf("%q is reported as %q", got[0].ID, dlrs[0].ID)
	}
}

// TestDuplicateDLRs and those in disorder go to the sink as they come, which ranks them.
func TestDuplicateDLRs(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	s.Next(1, smstest.SMPPFault{States: []string{"DELIVRD", "DELIVRD", "ACCEPTD"}})
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	dlrs, _ := g.wait(t, 3, 0)
	var states []sms.DLRState
	for _, d := range dlrs {
		states = append(states, d.State)
	}
	if fmt.Sprint(states) != "[delivered delivered enroute]" {
		t.Errorf("states %v", states) // of one phone, and so in order
	}
}

// TestReceiptIsNoMO: what a person writes is an MO, also when it looks a bit like a receipt.
func TestReceiptIsNoMO(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	texts := []string{"id:5 stat:DELIVRD", "my id:5 sub:1 dlvrd:1 stat:DELIVRD", "stat: is down"}
	for _, text := range texts {
		if st, err := s.MO(soon(t), smstest.MO{From: smstest.Phone(string(peer)), To: smstest.Phone(ours), Text: text}); err != nil || st[0] != 0 {
			t.Errorf("%v, %v", st, err)
		}
	}
	_, mos := g.wait(t, 0, 3)
	for i, m := range mos {
		if m.Text != texts[i] {
			t.Errorf("%q came as %q", texts[i], m.Text)
		}
	}
}

// TestNamelessReceipt: one that names no message is taken off the SMSC's hands, and goes nowhere.
func TestNamelessReceipt(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	for _, body := range []string{body(4, 0, "no receipt"), body(4, 0, ""), body(0x20, 0, "id: stat:DELIVRD")} {
		answer, status, err := s.Request(soon(t), 5, []byte(body))
		if err != nil || answer != 0x80000005 || status != 0 {
			t.Errorf("%q is answered with 0x%x, 0x%x, %v", body, answer, status, err)
		}
	}
	g.wait(t, 0, 0)
}

// TestMalformedDelivery is refused, and the session stays.
func TestMalformedDelivery(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	whole := body(0, 0, "hello", 0x02, 0x04, 0, 2, 1, 2)
	for _, body := range []string{"", "\x00\x01\x01491511", whole[:len(whole)-1], whole + "\x04\x24\xff\xff", whole + "\x01"} {
		answer, status, err := s.Request(soon(t), 5, []byte(body))
		if err != nil || answer != 0x80000005 || status != 0x02 {
			t.Errorf("%q is answered with 0x%x, 0x%x, %v", body, answer, status, err)
		}
	}
	if _, status, err := s.Request(soon(t), 5, []byte(whole)); err != nil || status != 0 {
		t.Errorf("0x%x, %v", status, err)
	}
	g.wait(t, 0, 1)
	if n := len(s.Sessions()); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestDataSM is taken like a deliver_sm.
func TestDataSM(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	head := "\x00\x01\x01" + string(peer) + "\x00\x01\x01" + ours + "\x00"
	for _, body := range []string{
		head + "\x00\x00\x00" + "\x04\x24\x00\x05hello",
		head + "\x04\x00\x00" + "\x00\x1e\x00\x03ab\x00" + "\x04\x27\x00\x01\x05" + "\x04\x23\x00\x03\x03\x00\x0c",
	} {
		answer, status, err := s.Request(soon(t), 0x103, []byte(body))
		if err != nil || answer != 0x80000103 || status != 0 {
			t.Errorf("0x%x, 0x%x, %v", answer, status, err)
		}
	}
	dlrs, mos := g.wait(t, 1, 1)
	if mos[0].Text != "hello" || dlrs[0].ID != "ab" || dlrs[0].State != sms.Undelivered || dlrs[0].Detail != "stat:UNDELIV network_error_code:3/12" {
		t.Errorf("%+v, %+v", mos[0], dlrs[0])
	}
}

// TestMO is one in every form and alphabet, single and long.
func TestMO(t *testing.T) {
	long := strings.Repeat("All good things come to those who wait. ", 12) + "€"
	for name, mo := range map[string]smstest.MO{
		"GSM 7":                   {Text: "hi {you} €"},
		"empty":                   {Text: ""},
		"Latin-1":                 {Text: "Grüße", Coding: 3},
		"UCS-2":                   {Text: "Привет 😀"},
		"long, udh8":              {Text: long, Concat: smstest.UDH8},
		"long, udh16":             {Text: long, Concat: smstest.UDH16},
		"long, sar":               {Text: long, Concat: smstest.SAR},
		"long, message_payload":   {Text: long, Concat: smstest.Payload},
		"long, UCS-2":             {Text: strings.Repeat("Привет 😀", 20), Concat: smstest.UDH8},
		"long, cut in characters": {Text: strings.Repeat("😀", 60) + "!", Concat: smstest.UDH16, Size: 71},
		"long, escapes cut":       {Text: "a" + strings.Repeat("€", 60), Concat: smstest.UDH8, Size: 20},
		"reordered":               {Text: long, Concat: smstest.UDH8, Parts: []int{4, 1, 3, 2}},
		"duplicated":              {Text: long, Concat: smstest.SAR, Parts: []int{1, 1, 2, 3, 2, 4, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, smstest.SMPPOptions{})
			g := run(t, s, nil)
			mo.From, mo.To = smstest.Phone(string(peer)), smstest.Phone(ours)
			statuses, err := s.MO(soon(t), mo)
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range statuses {
				if st != 0 {
					t.Errorf("answers %v", statuses)
				}
			}
			_, mos := g.wait(t, 0, 1)
			if m := mos[0]; m.Text != mo.Text || m.From != peer || m.To != ours || m.ID != "" || m.Gateway != "carrier" || m.At.IsZero() {
				t.Errorf("%+v, want %q", m, mo.Text)
			}
		})
	}
}

// TestNumbersOfMOs are normalised. A source that is no international number stays what it is; a national one is never read as somebody else's.
func TestNumbersOfMOs(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	us := smstest.Phone(ours)
	from := func(ton, npi byte, addr string) smstest.Address {
		return smstest.Address{TON: ton, NPI: npi, Addr: addr}
	}
	want := map[string]sms.MO{}
	for name, c := range map[string]struct {
		from, to smstest.Address
		want     sms.MO
	}{
		"international, with +":         {smstest.Phone("+" + string(peer)), smstest.Phone("00" + ours), sms.MO{From: peer, To: ours}},
		"of unknown type, with 00":      {from(0, 1, "00"+string(peer)), from(0, 0, "+"+ours), sms.MO{From: peer, To: ours}},
		"national, with + all the same": {from(2, 1, "+"+string(peer)), us, sms.MO{From: peer, To: ours}},
		"to a short code":               {smstest.Phone(string(peer)), from(3, 0, "84444"), sms.MO{From: peer, To: "84444"}},
		"a name":                        {from(5, 0, " My Bank"), us, sms.MO{From: "My Bank", To: ours}},
		"a name not in ASCII":           {from(5, 0, "Caf\xe9\x07"), us, sms.MO{From: "Caf\ufffd\ufffd", To: ours}},
		"a name of digits":              {from(5, 0, string(peer)), us, sms.MO{From: "0" + peer, To: ours}},
		"a long name":                   {from(0, 0, "A name of far more characters than an address has"), us, sms.MO{From: "A name of far more c", To: ours}},
		"a short code":                  {from(3, 0, "112"), us, sms.MO{From: "112", To: ours}},
		"a long short code":             {from(3, 0, "8444412"), us, sms.MO{From: "08444412", To: ours}},
		"national":                      {from(2, 1, "2125551234"), us, sms.MO{From: "02125551234", To: ours}},
		"national, with its prefix":     {from(2, 1, "017604069001"), us, sms.MO{From: "017604069001", To: ours}},
		"national, of unknown type":     {from(0, 1, "017604069001"), us, sms.MO{From: "017604069001", To: ours}},
	} {
		statuses, err := s.MO(soon(t), smstest.MO{From: c.from, To: c.to, Text: name})
		if err != nil || statuses[0] != 0 {
			t.Errorf("%s: %v, %v", name, statuses, err)
		}
		want[name] = c.want
	}
	_, mos := g.wait(t, 0, len(want))
	for _, m := range mos {
		if w := want[m.Text]; m.From != w.From || m.To != w.To {
			t.Errorf("%s: from %q to %q, want %q and %q", m.Text, m.From, m.To, w.From, w.To)
		}
	}
	for _, nobody := range []string{"", "  "} { // refused for good, or it would come for ever
		if statuses, err := s.MO(soon(t), smstest.MO{From: from(0, 0, nobody), To: us, Text: "from nobody"}); err != nil || statuses[0] != 0x65 {
			t.Errorf("from %q: %v, %v", nobody, statuses, err)
		}
	}
}

// TestLongMOFromAName is joined, each for itself.
func TestLongMOFromAName(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{})
	g := run(t, s, nil)
	texts := map[contacts.Number]string{"My Bank": strings.Repeat("bank ", 80), "02125551234": strings.Repeat("national ", 50), "22255": strings.Repeat("short ", 70)}
	for from, a := range map[contacts.Number]smstest.Address{
		"My Bank": {TON: 5, Addr: "My Bank"}, "02125551234": {TON: 2, NPI: 1, Addr: "2125551234"}, "22255": {TON: 3, Addr: "22255"},
	} {
		mo := smstest.MO{From: a, To: smstest.Phone(ours), Text: texts[from], Concat: smstest.UDH8, Ref: 7, Parts: []int{3, 1, 2}}
		if statuses, err := s.MO(soon(t), mo); err != nil || slices.Max(statuses) != 0 {
			t.Errorf("%s: %v, %v", from, statuses, err)
		}
	}
	_, mos := g.wait(t, 0, len(texts))
	for _, m := range mos {
		if m.Text != texts[m.From] || m.Text == "" {
			t.Errorf("%q wrote %q", m.From, m.Text)
		}
	}
}

// TestSameReferenceFromTwoPhones: their segments do not mix.
func TestSameReferenceFromTwoPhones(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Deliveries: 100})
	g := run(t, s, func(c *smpp.Config) { c.Sessions = 3 })
	texts := map[contacts.Number]string{}
	var phones sync.WaitGroup
	for i := range 8 {
		from := contacts.Number(fmt.Sprintf("49151000000%02d", i))
		text := strings.Repeat(fmt.Sprintf("phone %d ", i), 50)
		texts[from] = text
		phones.Go(func() {
			if _, err := s.MO(soon(t), smstest.MO{From: smstest.Phone(string(from)), To: smstest.Phone(ours), Text: text, Concat: smstest.UDH8, Ref: 7}); err != nil {
				t.Error(err)
			}
		})
	}
	phones.Wait()
	_, mos := g.wait(t, 0, 8)
	for _, m := range mos {
		if m.Text != texts[m.From] {
			t.Errorf("%s wrote %q", m.From.Mask(), m.Text)
		}
	}
}

// TestPartLost: the segments that came are refused for now, and after a time given on as they are; then they are taken.
func TestPartLost(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Retry: 10 * time.Millisecond})
	g := run(t, s, func(c *smpp.Config) { c.Response, c.Parts = 300*time.Millisecond, 500*time.Millisecond })
	text := strings.Repeat("a", 153) + strings.Repeat("b", 153) + strings.Repeat("c", 10)
	statuses, err := s.MO(soon(t), smstest.MO{From: smstest.Phone(string(peer)), To: smstest.Phone(ours), Text: text, Concat: smstest.UDH8, Parts: []int{3, 1}})
	if err != nil || statuses[0] != 0x64 || statuses[1] != 0x64 {
		t.Errorf("%v, %v", statuses, err)
	}
	_, mos := g.wait(t, 0, 1)
	if want := text[:153] + "[…]" + text[306:]; mos[0].Text != want {
		t.Errorf("%q, want %q", mos[0].Text, want)
	}
	if err := s.Quiet(soon(t)); err != nil {
		t.Error(err)
	}
	g.wait(t, 0, 1)
}

// TestOneAtATime: an SMSC that waits for each answer before the next segment gets its message through all the same.
func TestOneAtATime(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Deliveries: 1, Retry: 50 * time.Millisecond})
	g := run(t, s, func(c *smpp.Config) { c.Response = 300 * time.Millisecond })
	text := strings.Repeat("one at a time ", 40)
	if _, err := s.MO(soon(t), smstest.MO{From: smstest.Phone(string(peer)), To: smstest.Phone(ours), Text: text, Concat: smstest.UDH8}); err != nil {
		t.Fatal(err)
	}
	_, mos := g.wait(t, 0, 1)
	if err := s.Quiet(soon(t)); err != nil || mos[0].Text != text {
		t.Errorf("%q, %v", mos[0].Text, err)
	}
	g.wait(t, 0, 1)
}

// TestStorageFails: what is not durable is refused with 0x64, comes again, and is stored once.
func TestStorageFails(t *testing.T) {
	for name, mo := range map[string]smstest.MO{"single": {Text: "hello"}, "long": {Text: strings.Repeat("a", 400), Concat: smstest.UDH8}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, smstest.SMPPOptions{Retry: 10 * time.Millisecond})
			g := run(t, s, nil)
			g.fail = func(try int) error {
				if try <= 3 {
					return errors.New("the disk is full")
				}
				return nil
			}
			mo.From, mo.To = smstest.Phone(string(peer)), smstest.Phone(ours)
			statuses, err := s.MO(soon(t), mo)
			if err != nil || statuses[0] != 0x64 {
				t.Errorf("%v, %v", statuses, err)
			}
			if err := s.Quiet(soon(t)); err != nil {
				t.Fatal(err)
			}
			if _, mos := g.wait(t, 0, 1); mos[0].Text != mo.Text {
				t.Errorf("%q", mos[0].Text)
			}
		})
	}
	t.Run("DLR", func(t *testing.T) {
		s := serve(t, smstest.SMPPOptions{Retry: 10 * time.Millisecond})
		g := run(t, s, nil)
		g.fail = func(try int) error {
			if try == 1 {
				return errors.New("the disk is full")
			}
			return nil
		}
		want(t, g.Submit(soon(t), message(1, "x")), 0)
		g.wait(t, 1, 0)
		if err := s.Quiet(soon(t)); err != nil {
			t.Fatal(err)
		}
		if a := s.Deliveries()[0].Answers; len(a) != 2 || a[0] != 0x64 || a[1] != 0 {
			t.Errorf("answers %v", a)
		}
	})
}

// TestSlowSink: while the sink thinks, enquire_link and submits are answered; what is too much is refused for now.
func TestSlowSink(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Deliveries: 1000, Retry: 10 * time.Millisecond, Response: 20 * time.Second, Enquire: 20 * time.Millisecond})
	g := run(t, s, nil)
	open := make(chan struct{})
	release := sync.OnceFunc(func() { close(open) })
	defer release()
	g.fail = func(int) error { <-open; return nil }
	for i := range 100 {
		if _, err := s.Send(smstest.MO{From: smstest.Phone(string(peer)), To: smstest.Phone(ours), Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	refused := func() (n int) {
		for _, d := range s.Deliveries() {
			if len(d.Answers) > 0 {
				n++
			}
		}
		return n
	}
	for ctx := soon(t); refused() < 30; {
		select {
		case <-ctx.Done():
			t.Fatalf("%d were refused", refused())
		case <-time.After(5 * time.Millisecond):
		}
	}
	want(t, g.Submit(soon(t), message(1, "x")), 0)
	if answer, _, err := s.Request(soon(t), 0x15, nil); err != nil || answer != 0x80000015 {
		t.Errorf("enquire_link: 0x%x, %v", answer, err)
	}
	release()
	g.wait(t, 1, 100)
	if err := s.Quiet(soon(t)); err != nil {
		t.Error(err)
	}
}

// TestRestartBetweenSegments: what was not acknowledged comes again, and is joined once, whatever sessions it comes on.
func TestRestartBetweenSegments(t *testing.T) {
	s := serve(t, smstest.SMPPOptions{Retry: 10 * time.Millisecond})
	g := run(t, s, nil)
	text := strings.Repeat("a", 153) + strings.Repeat("b", 100)
	from, to := smstest.Phone(string(peer)), smstest.Phone(ours)
	if _, err := s.Send(smstest.MO{From: from, To: to, Text: text, Concat: smstest.UDH8, Ref: 9, Parts: []int{1}}); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); s.Deliveries()[0].Sent == 0; {
		select {
		case <-ctx.Done():
			t.Fatal("the segment did not come")
		case <-time.After(time.Millisecond):
		}
	}
	s.Stop()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Send(smstest.MO{From: from, To: to, Text: text, Concat: smstest.UDH8, Ref: 9, Parts: []int{2}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Quiet(soon(t)); err != nil {
		t.Fatal(err)
	}
	if _, mos := g.wait(t, 0, 1); mos[0].Text != text {
		t.Errorf("%q", mos[0].Text)
	}
}
