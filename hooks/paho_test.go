package hooks_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"

	"github.com/seed-7a41469f/godwit/contacts"
)

// received collects what a client gets.
type received struct {
	mu   sync.Mutex
	got  []string
	more chan struct{}
}

func newReceived() *received { return &received{more: make(chan struct{}, 10_000)} }

func (r *received) add(payload []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, string(payload))
	r.more <- struct{}{}
}

func (r *received) wait(t *testing.T, n int) []string {
	t.Helper()
	for range n {
		select {
		case <-r.more:
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d of %d came", len(r.got), n)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func paho311(h *harness, a contacts.Address, clientID string) paho3.Client {
	h.t.Helper()
	c := paho3.NewClient(paho3.NewClientOptions().AddBroker("tcp://" + h.addr).SetClientID(clientID).
		SetUsername(string(a)).SetPassword(h.tokens[a]).SetCleanSession(false).SetAutoReconnect(false))
	token := c.Connect()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		h.t.Fatal(token.Error())
	}
	h.t.Cleanup(func() { c.Disconnect(10) })
	return c
}

func TestPaho311(t *testing.T) {
	h := start(t, setup{})
	in := newReceived()
	b := paho311(h, bob, "b")
	if token := b.Subscribe(inbox(bob), 1, func(_ paho3.Client, m paho3.Message) { in.add(m.Payload()) }); token.Wait() && token.Error() != nil {
		t.Fatal(token.Error())
	}
	a := paho311(h, alice, "a")
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprint(i))
		token := a.Publish("to/"+string(bob), byte(i%3), false, fmt.Sprint(i))
		if i%50 == 0 && !token.WaitTimeout(10*time.Second) {
			t.Fatal("no acknowledgement")
		}
	}
	if got := in.wait(t, 200); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func pahoV5(h *harness, a contacts.Address, clientID string, in *received) *paho5.Client {
	h.t.Helper()
	n, err := net.Dial("tcp", h.addr)
	h.must(err)
	c := paho5.NewClient(paho5.ClientConfig{
		Conn: n,
		OnPublishReceived: []func(paho5.PublishReceived) (bool, error){func(p paho5.PublishReceived) (bool, error) {
			in.add(p.Packet.Payload)
			return true, nil
		}},
	})
	ack, err := c.Connect(h.t.Context(), &paho5.Connect{
		ClientID: clientID, KeepAlive: 30, CleanStart: true, UsernameFlag: true, Username: string(a), PasswordFlag: true, Password: []byte(h.tokens[a]),
	})
	h.must(err)
	if ack.ReasonCode != 0 || ack.Properties.RetainAvailable || ack.Properties.SharedSubAvailable {
		h.t.Fatalf("CONNACK %+v", ack.Properties)
	}
	h.t.Cleanup(func() { _ = c.Disconnect(&paho5.Disconnect{}) })
	return c
}

func TestPaho5(t *testing.T) {
	h := start(t, setup{})
	inA, inB := newReceived(), newReceived()
	a, b := pahoV5(h, alice, "a", inA), pahoV5(h, bob, "b", inB)
	_, err := b.Subscribe(t.Context(), &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: inbox(bob), QoS: 1}}})
	h.must(err)
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(i))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		resp, err := a.Publish(ctx, &paho5.Publish{Topic: "to/" + string(bob), QoS: byte(1 + i%2), Payload: []byte(fmt.Sprint(i))})
		cancel()
		h.must(err)
		if i%2 == 0 && len(resp.Properties.User.Get("id")) != 26 {
			t.Fatalf("no id: %+v", resp.Properties)
		}
	}
	if got := inB.wait(t, 100); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	resp, err := a.Publish(t.Context(), &paho5.Publish{Topic: "u/" + string(bob) + "/in/x/y", QoS: 1, Payload: []byte("forged")})
	if err == nil || resp == nil || resp.ReasonCode != 0x87 {
		t.Errorf("forging: %v, %v", resp, err)
	}
	if _, err := a.Subscribe(t.Context(), &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "#", QoS: 1}}}); err == nil ||
		!strings.Contains(err.Error(), "failed") {
		t.Errorf("subscribing to #: %v", err)
	}
}
