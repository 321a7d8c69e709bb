package clienttest_test

import (
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest"
)

func TestPushed(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(clienttest.Login{User: bo, Version: v})

		ack := a.Publish("to/"+string(bo)+"/lunch", "Lunch at one?")
		got := b.Next("in")
		want(t, got, ann, "Lunch at one?")
		r := a.Final("lunch")
		ended(t, r, "delivered", "push", "")
		if r.ID != got.ID || r.Key != "lunch" || r.To != string(bo) {
			t.Errorf("receipt %+v of %s", r, got.ID)
		}
		if v == clienttest.V5 && (ack.ID != got.ID || got.Properties["id"] != got.ID || got.Properties["at"] == "") {
			t.Errorf("PUBACK %+v, message %+v", ack, got)
		}
		if m := s.Explain(got.ID); m.Message.State != "delivered" || m.Message.From != string(ann) || len(m.Trail) == 0 {
			t.Errorf("explained as %+v", m)
		}

		b.Publish("to/"+string(ann), "One it is") // without a key
		got = a.Next("in")
		want(t, got, bo, "One it is")
		ended(t, b.Final(got.ID), "delivered", "push", "")
		noSMS(t, s.Broker)
	})
}

// The default is one receipt more for an SMS and one for a push; a sender on MQTT 5 may want each state, or none.
func TestReceiptsAsWanted(t *testing.T) {
	t.Parallel()
	s := clienttest.NewServer(t, push(nil))
	a, b := s.Connect(clienttest.Login{User: ann}), s.Connect(clienttest.Login{User: bo})
	a.Publish("to/"+string(bo)+"/all", "1", "receipts", "all")
	a.Receipt("all", "accepted")
	a.Receipt("all", "pushing")
	a.Receipt("all", "delivered")
	a.Publish("to/"+string(bo)+"/none", "2", "receipts", "none")
	want(t, b.Next("in"), ann, "1")
	want(t, b.Next("in"), ann, "2")
	a.Publish("to/"+string(bo)+"/last", "3")
	a.Final("last")
	if left := a.Left(); len(left) != 0 {
		t.Errorf("more receipts: %+v", left)
	}
}

func TestSentFromAnotherDevice(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		phone := s.Connect(clienttest.Login{User: ann, Version: v})
		pc := s.Connect(clienttest.Login{User: ann, Version: v, Device: "pc"})
		b := s.Connect(clienttest.Login{User: bo, Version: v})
		send(phone, bo, "k", "From the phone")
		got := b.Next("in")
		sent := pc.Next("sent")
		want(t, sent, bo, "From the phone")
		if sent.ID != got.ID {
			t.Errorf("sent/ has the id %s, in/ %s", sent.ID, got.ID)
		}
		phone.Final("k")
		send(pc, bo, "last", "From the PC")
		want(t, phone.Next("sent"), bo, "From the PC") // and not its own message
	})
}

func TestSameKeySameMessage(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(clienttest.Login{User: bo, Version: v})
		first := a.Publish("to/"+string(bo)+"/alarm-1", "Water in the cellar")
		again := a.Publish("to/"+string(bo)+"/alarm-1", "Water in the cellar!")
		other := a.Publish("app/"+string(bo)+"/alarm-1", "Water")
		send(a, bo, "alarm-2", "It is rising")
		want(t, b.Next("in"), ann, "Water in the cellar")
		want(t, b.Next("in"), ann, "It is rising")
		if first != again || first != other {
			t.Errorf("PUBACKs %+v, %+v, %+v", first, again, other)
		}

		send(a, cleo, "alarm-1", "Water in the cellar") // another message: it is to somebody else
		send(a, cleo, "alarm-1", "Water in the cellar")
		send(a, cleo, "alarm-2", "It is rising")
		a.Final("alarm-2")
		if got := sms(t, s.Broker, 2, cleo); got.Text != "+"+string(ann)+": It is rising" {
			t.Errorf("SMS %q", got.Text)
		}
	})
}

func TestLastWill(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		boiler := clienttest.Login{User: "boiler-7", Version: v, Will: &clienttest.Will{Topic: "to/" + string(ann), Payload: "Boiler 7 is off the network"}}
		a := s.Connect(clienttest.Login{User: ann, Version: v})

		s.Connect(boiler).Disconnect() // signs off: no will
		s.Connect(boiler).Drop()
		s.Connect(boiler).Drop() // returned: the first will is dropped
		got := a.Next("in")
		want(t, got, "boiler-7", "Boiler 7 is off the network")

		b := s.Connect(boiler)
		ended(t, b.Final(got.ID), "delivered", "push", "")
		s.Restart() // nobody was lost: the broker stops
		b.Gone()
		a.Gone()
		a = s.Connect(clienttest.Login{User: ann, Version: v})
		s.Connect(clienttest.Login{User: "other", Version: v}).Publish("to/"+string(ann), "last")
		want(t, a.Next("in"), "other", "last")
		if n := len(s.Messages()); n != 2 {
			t.Errorf("%d messages, want the will and the last one", n)
		}
	})
}

// A device with a persistent session keeps its place over a restart of the broker.
func TestRestart(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		phone := clienttest.Login{User: bo, Version: v, Persistent: true}
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(phone)
		send(a, bo, "1", "one")
		want(t, b.Next("in"), ann, "one")
		a.Final("1")
		b.Disconnect()
		a.Publish("app/"+string(bo), "two")
		a.Publish("app/"+string(bo), "three")
		s.Restart()
		if code := a.Gone(); v == clienttest.V5 && code != 0x8B {
			t.Errorf("DISCONNECT %#x", code)
		}

		a = s.Connect(clienttest.Login{User: ann, Version: v})
		a.Publish("app/"+string(bo)+"/4", "four")
		b = s.Connect(phone)
		if !b.SessionPresent {
			t.Error("no session present")
		}
		for _, text := range []string{"two", "three", "four"} {
			want(t, b.Next("in"), ann, text)
		}
		a.Final("4")
		if left := b.Left(); len(left) != 0 {
			t.Errorf("and more: %+v", left)
		}
		noSMS(t, s.Broker)
	})
}

// What one device acknowledged, another one that is remembered gets too.
func TestEachDeviceHasItsPlace(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		tablet := clienttest.Login{User: bo, Version: v, Device: "tablet", Persistent: true}
		s.Connect(tablet).Disconnect()
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(clienttest.Login{User: bo, Version: v})
		send(a, bo, "k", "Where are you?")
		got := b.Next("in")
		a.Final("k")
		if later := s.Connect(tablet).Next("in"); later.ID != got.ID || later.Payload != got.Payload {
			t.Errorf("the tablet got %+v, the phone %+v", later, got)
		}
	})
}

func TestRevokedWhileConnected(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		b := s.Connect(clienttest.Login{User: bo, Version: v})
		began := time.Now()
		s.Revoke(bo)
		code := b.Gone()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if v == clienttest.V5 && code != 0x87 {
			t.Errorf("DISCONNECT %#x", code)
		}
		for _, c := range []struct {
			name  string
			login clienttest.Login
			v311  byte
			v5    byte
		}{
			{"revoked", clienttest.Login{User: bo}, 0x05, 0x87},
			{"wrong token", clienttest.Login{User: ann, Token: s.Token("boiler")}, 0x04, 0x86},
			{"no such user", clienttest.Login{User: cleo, Token: "x"}, 0x04, 0x86},
		} {
			c.login.Version = v
			code, want := s.Refused(c.login), c.v5
			if v == clienttest.V311 {
				want = c.v311
			}
			if code != want {
				t.Errorf("%s: CONNACK %#x, want %#x", c.name, code, want)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	both(t, func(t *testing.T, v clienttest.Version) {
		s := clienttest.NewServer(t, push(nil))
		a := s.Connect(clienttest.Login{User: ann, Version: v})
		b := s.Connect(clienttest.Login{User: bo, Version: v})
		for _, c := range []struct {
			topic string
			code  byte
		}{
			{"to/0049176", 0x90}, {"to/Boiler", 0x90}, {"to/" + string(bo) + "/a key", 0x90}, {"sms/boiler", 0x90},
			{"nowhere/" + string(bo), 0x87}, {"u/" + string(bo) + "/in/" + string(ann) + "/x", 0x87}, {"u/" + string(ann) + "/in/x/y", 0x87},
		} {
			if v == clienttest.V311 {
				c.code = 0 // it knows no refusal: acknowledged, and nothing else happens
			}
			if ack := a.Publish(c.topic, "refused"); ack.Code != c.code {
				t.Errorf("%s: PUBACK %#x, want %#x", c.topic, ack.Code, c.code)
			}
		}
		if v == clienttest.V5 {
			if ack := a.Publish("to/"+string(bo), "refused", "after", "soon"); ack.Code != 0x99 {
				t.Errorf("an unknown value: PUBACK %#x", ack.Code)
			}
		}
		refusal := byte(0x8F)
		if v == clienttest.V311 {
			refusal = 0x80
		}
		for _, filter := range []string{"#", "u/+/in/#", "u/" + string(bo) + "/#", "$SYS/#"} {
			if code := a.Subscribe(filter); code != refusal {
				t.Errorf("%s: SUBACK %#x, want %#x", filter, code, refusal)
			}
		}

		// The connection stands, and nothing of it all was accepted. A name that nobody added is no refusal.
		send(a, "nobody", "k", "Hello?")
		ended(t, a.Final("k"), "failed", "", "no_such_name")
		send(a, bo, "last", "last")
		want(t, b.Next("in"), ann, "last")
		if n := len(s.Messages()); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
		noSMS(t, s.Broker)
	})
}
