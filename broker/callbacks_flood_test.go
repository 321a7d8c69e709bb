package broker_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seed-7a41469f/godwit/broker"
	smshttp "github.com/seed-7a41469f/godwit/sms/http"
)

// TestStrangersDoNotTakeThePlaces: who has no secret, and does not even send the body that was announced, keeps no carrier from calling.
func TestStrangersDoNotTakeThePlaces(t *testing.T) {
	kannel, err := smshttp.NewKannel(smshttp.KannelConfig{Name: "carrier", URL: "http://127.0.0.1:9/", Username: "u", Password: "p", Secret: callbackSecret})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(broker.Callbacks(nil, kannel, sinkFunc(func(context.Context) error { return nil })))
	t.Cleanup(srv.Close)
	for range broker.CallbacksAtOnce {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "POST /gateway/carrier/dlr HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
	}
	time.Sleep(500 * time.Millisecond) // sleep: until all have been read
	resp, err := http.Get(srv.URL + "/gateway/carrier/dlr?key=" + callbackSecret + "&type=1&segment=1&ref=01000000000000000000000000000000")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a report of the carrier is answered %d", resp.StatusCode)
	}
}
