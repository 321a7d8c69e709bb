package broker_test

import (
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2"
	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/broker"
)

// mochi's GetByListener takes a read lock twice (clients.go:95): a client that left in between stopped the broker for ever.
func TestStopWhileClientsLeave(t *testing.T) {
	server := mqtt.New(broker.Settings(0, 0, broker.NewLog(zerolog.Nop())))
	l := &broker.Listener{Listen: "127.0.0.1:0"}
	l.Goodbye = broker.Goodbye(server, l.ID())
	if err := server.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	client := server.NewClient(nil, l.ID(), "leaves", true)
	client.Stop(nil)
	stop, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		for {
			select {
			case <-stop:
				return
			default:
				server.Clients.Add(client)
				server.Clients.Delete(client.ID)
			}
		}
	}()
	closed := make(chan error, 1)
	go func() {
		for range 1000 { // the broker says goodbye in rounds
			l.Goodbye()
		}
		closed <- server.Close()
	}()
	select {
	case err := <-closed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the broker does not stop")
	}
	close(stop)
	<-left
}
