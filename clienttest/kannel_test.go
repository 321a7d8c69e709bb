package clienttest_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/clienttest/kannel"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
)

const kannelSecret = "k4nnel-5ecret"

// A kannelStage is `godwit serve` with a real Kannel as its gateway, and Ann with mosquitto_pub and mosquitto_sub.
type kannelStage struct {
	*mosquitto
	t      *testing.T
	kannel *kannel.Kannel
	door   *clienttest.Door // by which Kannel calls
}

func newKannelStage(t *testing.T) *kannelStage {
	needMosquitto(t)
	door := clienttest.NewDoor(t)
	k := kannel.New(t, kannel.Config{
		MOURL: door.URL + "/gateway/kannel/mo?key=" + kannelSecret + "&from=%p&to=%P&text=%b&coding=%c&udh=%u&time=%t&smsc=%i&id=%I",
	})
	p := clienttest.StartProcess(t, func(c *config.Config) {
		door.Public(c)
		g := config.DefaultGateway(config.KindKannel, "kannel")
		g.URL, g.Username, g.Password, g.CallbackSecret = k.SendURL, k.Username, config.Secret(k.Password), kannelSecret
		c.SMS.Gateways = []config.Gateway{g}
		c.SMS.Caps.LoopHour = 1000 // Ann answers faster than people do
		c.SMS.ResponseTimeout, c.SMS.Unknown.Hold = config.Duration(2*time.Second), config.Duration(2*time.Second)
	})
	p.Hide(kannelSecret)
	p.Hide(k.Password)
	p.Hide(string(cleo))
	door.LeadTo(p.Broker)
	k.Start()
	s := &kannelStage{mosquitto: &mosquitto{t: t, version: "mqttv311", Process: p}, t: t, kannel: k, door: door}
	s.a = s.subscribe(ann, "phone", "-c")
	return s
}

func (s *kannelStage) ctx() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), clienttest.Patience)
	s.t.Cleanup(cancel)
	return ctx
}

// screen waits for the nth MT, and returns what has come so far.
func (s *kannelStage) screen(n int) []kannel.Message {
	s.t.Helper()
	all, err := s.kannel.Wait(s.ctx(), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// called waits until a call at the door was answered so.
func (s *kannelStage) called(path string, told, n int) {
	s.t.Helper()
	for ctx := s.ctx(); ; {
		news, count := s.door.News(), 0
		for _, c := range s.door.Calls() {
			if c.Path == path && c.Told == told {
				count++
			}
		}
		if count >= n {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			s.t.Fatalf("%s was answered %d %d times, want %d; all calls: %+v", path, told, count, n, s.door.Calls())
		}
	}
}

// answers counts the SMS that came in and were stored.
func (s *kannelStage) answers() (n int) {
	s.t.Helper()
	for _, m := range s.Messages() {
		if m.Root == "mo" {
			n++
		}
	}
	return n
}

func (s *kannelStage) resubscribe() {
	s.t.Helper()
	_ = s.a.cmd.Process.Kill() // it may have ended
	<-s.a.ended
	s.a = s.subscribe(ann, "phone", "-c")
}

// TestKannel plays "done when" of the SMS side: out, report, answer, in all alphabets and lengths, against callbacks that fail, kill -9 and a forger.
func TestKannel(t *testing.T) {
	t.Parallel()
	s := newKannelStage(t)

	s.publish(ann, "to/"+string(cleo)+"/first", "Lunch at one? 4 € {or} not")
	if got := s.screen(1)[0]; strings.TrimPrefix(got.To, "+") != string(cleo) || got.Text(false) != "+"+string(ann)+": Lunch at one? 4 € {or} not" {
		t.Errorf("the phone shows %+v", got)
	}
	s.ended("first", "delivered", "sms", delivery.NotRegistered)
	s.kannel.MO(string(cleo), string(clienttest.OurNumber), "Gladly! 4 € {fine}")
	s.a.next("/sms/"+string(cleo)+"/", "Gladly! 4 € {fine}")

	t.Log("long, and in other alphabets")
	n := s.long("gsm", strings.Repeat("All work and no play {€}. ", 9), false, 1)
	n = s.long("ucs2", strings.Repeat("地下室进水了🙂", 14), true, n)
	s.kannel.MO(string(cleo), string(clienttest.OurNumber), "好的，一点见 🙂")
	s.a.next("/sms/"+string(cleo)+"/", "好的，一点见 🙂")
	for part, text := range []string{strings.Repeat("one ", 38), "and two"} {
		s.kannel.MOSegment(string(cleo), string(clienttest.OurNumber), []byte{5, 0, 3, 9, 2, byte(part + 1)}, text)
	}
	s.a.next("/sms/"+string(cleo)+"/", strings.Repeat("one ", 38)+"and two")

	s.failing(n)
	s.forged()
}

// long sends a text of several segments, and returns how many MTs there are afterwards.
func (s *kannelStage) long(key, text string, ucs2 bool, before int) int {
	s.t.Helper()
	s.publish(ann, "to/"+string(cleo)+"/"+key, text)
	s.ended(key, "delivered", "sms", delivery.NotRegistered)
	var shown strings.Builder
	all := s.screen(before + 2)
	for _, m := range all[before:] {
		shown.WriteString(m.Text(ucs2))
	}
	if shown.String() != "+"+string(ann)+": "+text {
		s.t.Errorf("the phone shows %q", shown.String())
	}
	return len(all)
}

const (
	moPath  = "/gateway/kannel/mo"
	dlrPath = "/gateway/kannel/dlr"
)

// failing has callbacks fail in every way there is: Kannel calls again, and each answer and report is taken once.
func (s *kannelStage) failing(n int) {
	s.t.Log("answers of the broker that are lost")
	left := map[string]int{moPath: 2, dlrPath: 1}
	s.door.On(func(r *http.Request) clienttest.Deal {
		left[r.URL.Path]--
		return clienttest.Deal{Lose: left[r.URL.Path] >= 0}
	})
	s.kannel.MO(string(cleo), string(clienttest.OurNumber), "taken, and asked again")
	s.a.next("/sms/"+string(cleo)+"/", "taken, and asked again")
	s.called(moPath, http.StatusInternalServerError, 2)
	s.publish(ann, "to/"+string(cleo)+"/lost", "reported twice")
	s.ended("lost", "delivered", "sms", delivery.NotRegistered)
	s.called(dlrPath, http.StatusInternalServerError, 1)
	s.door.On(nil)

	s.t.Log("the broker is stopped")
	s.Stop()
	s.kannel.MO(string(cleo), string(clienttest.OurNumber), "nobody is there")
	s.called(moPath, http.StatusBadGateway, 1)
	s.Reconfigure(func(c *config.Config) { c.Limits.DiskFree = 1 << 50 })
	s.Start()
	s.t.Log("the store takes nothing")
	s.Expect("a callback could not be stored")
	s.called(moPath, http.StatusServiceUnavailable, 1)
	s.Stop()
	s.Reconfigure(func(c *config.Config) { c.Limits.DiskFree = 0 })
	s.Start()
	s.resubscribe()
	s.a.next("/sms/"+string(cleo)+"/", "nobody is there")

	s.killed(n + 1)
	if got := s.answers(); got != 5 {
		s.t.Errorf("%d answers were stored, want 5", got)
	}
}

// killed kills the broker while it hands messages to Kannel: each is on the screen at most once, and delivered when it is.
func (s *kannelStage) killed(n int) {
	s.t.Helper()
	s.t.Log("kill -9")
	texts := []string{"before", "just before", "at the time of death"}
	for _, text := range texts {
		s.publish(ann, "to/"+string(cleo)+"/"+strings.ReplaceAll(text, " ", "-"), text)
	}
	s.Kill()
	s.Start()
	s.resubscribe()
	for _, text := range texts {
		line := s.a.line("/receipt/"+strings.ReplaceAll(text, " ", "-")+" ", `"final":true`)
		_, payload, _ := strings.Cut(line, " ")
		r, err := clienttest.Arrival{Payload: payload}.Receipt()
		if err != nil {
			s.t.Fatal(err)
		}
		shown := 0
		for _, m := range s.kannel.Received()[n:] {
			if m.Text(false) == "+"+string(ann)+": "+text {
				shown++
			}
		}
		unknown := slices.ContainsFunc(s.Explain(r.ID).Trail, func(step picture.Step) bool { return step.Event == delivery.EventUnknown })
		if !(shown == 1 && r.State == "delivered") && !(shown == 0 && unknown && r.Reason == delivery.OutcomeLost) {
			s.t.Errorf("%q was shown %d times, and its receipt is %+v", text, shown, r)
		}
	}
}

// forged makes calls that Kannel did not make.
func (s *kannelStage) forged() {
	s.t.Helper()
	s.t.Log("forged callbacks")
	before := len(s.Messages())
	for _, query := range []string{"", "key=", "key=wrong", "key=" + kannelSecret + "x", "key=" + strings.ToUpper(kannelSecret)} {
		for _, path := range []string{moPath, dlrPath} {
			resp, err := http.Get(s.door.URL + path + "?from=" + string(cleo) + "&to=" + string(clienttest.OurNumber) + "&text=forged&coding=0&id=7&" + query)
			if err != nil {
				s.t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				s.t.Errorf("%s?%s was answered %s", path, query, resp.Status)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if after := len(s.Messages()); after != before {
		s.t.Errorf("there are %d messages more", after-before)
	}
	if want := `godwit_refused_total{reason="callback"} 10`; !strings.Contains(s.metrics(), "\n"+want+"\n") {
		s.t.Errorf("metrics without %s", want)
	}
}

func (s *kannelStage) metrics() string {
	s.t.Helper()
	resp, err := http.Get(s.URL() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("metrics: %s, %v", resp.Status, err)
	}
	return string(text)
}
