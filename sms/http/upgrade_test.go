package smshttp_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// TestUpgrade: after 101 net/http gives the connection away, and no time-out of the request ends a read of it any more.
func TestUpgrade(t *testing.T) {
	each(t, func(t *testing.T, c carrier) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		end := make(chan struct{})
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
			<-end
		}()
		stop := time.AfterFunc(5*time.Second, func() { close(end) })
		began := time.Now()
		wantClass(t, one(t, c.start(t, "http://"+l.Addr().String(), 200*time.Millisecond), text(t, 1, "Tea?")), sms.Unknown)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		if stop.Stop() {
			close(end)
		}
	})
}
