package smshttp

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// TwilioSignature is for the vectors that Twilio documents.
var TwilioSignature = twilioSignature

// Do makes one request by a caller with a dial of its own.
func Do(ctx context.Context, dial func(ctx context.Context, network, addr string) (net.Conn, error), until time.Time, req *http.Request) (int, *sms.Error) {
	c := newCaller(1, 0, dial)
	defer c.close()
	status, _, _, failure := c.do(ctx, until, req)
	return status, failure
}
