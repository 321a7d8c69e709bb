package raw_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/clienttest/raw"
)

// answer accepts one connection, reads its CONNECT and hands it to then.
func answer(t *testing.T, then func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		if _, err := raw.NewReader(nc, 256, 1024).Next(); err != nil {
			t.Error(err)
		}
		then(nc)
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestARefusalIsAnError(t *testing.T) {
	for _, version := range []byte{raw.V311, raw.V5} {
		addr := answer(t, func(nc net.Conn) { nc.Write(raw.AppendConnack(nil, version, false, 5)) })
		_, err := raw.Dialer{}.Dial(context.Background(), addr, raw.Connect{Version: version, ClientID: "c"})
		var refused raw.Refused
		if !errors.As(err, &refused) || refused != 5 {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

func TestDialGivesUp(t *testing.T) {
	hold := make(chan struct{})
	addr := answer(t, func(net.Conn) { <-hold })
	defer close(hold)
	_, err := raw.Dialer{Timeout: 50 * time.Millisecond}.Dial(context.Background(), addr, raw.Connect{Version: raw.V311, ClientID: "c"})
	if err == nil {
		t.Error("no CONNACK came and nobody said so")
	}
}

// The last packets and the end of the connection are there before the first read: both must be seen.
func TestLoopSeesTheEndThatCameWithTheLastPacket(t *testing.T) {
	closed := make(chan struct{})
	addr := answer(t, func(nc net.Conn) {
		nc.Write(raw.AppendConnack(nil, raw.V311, false, 0))
		nc.Write(raw.AppendPuback(raw.AppendPuback(nil, 1), 2))
		nc.Close()
		close(closed)
	})
	conn, err := raw.Dialer{}.Dial(context.Background(), addr, raw.Connect{Version: raw.V311, ClientID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Drop()
	<-closed
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var got int
	err = conn.Loop(func(raw.Frame) error {
		got++
		for conn.Ready() {
			if _, err := conn.Next(); err != nil {
				return err
			}
			got++
		}
		return nil
	})
	if err != io.EOF || got != 2 {
		t.Errorf("%d packets, then %v", got, err)
	}
}
