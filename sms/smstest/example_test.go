package smstest_test

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// The network takes the SMS but never answers: whether it has it is unknown, and the log of the network tells.
func Example() {
	network := smstest.NewServer()
	defer network.Close()
	network.Next(1, smstest.Fault{Submit: smstest.Swallow})

	segments, err := sms.Split("Tea?")
	if err != nil {
		panic(err)
	}
	outcomes := network.Gateway("carrier").Submit(context.Background(), sms.MT{
		From: "4915100000000", To: "4915112345678", Text: "Tea?", Segments: segments, Count: len(segments), Until: time.Now().Add(time.Minute),
	})
	fmt.Println(sms.ClassOf(outcomes[0].Err))
	for _, r := range network.Received() {
		fmt.Println(r.Text, r.Fault)
	}
	// Output:
	// unknown
	// Tea? swallow
}
