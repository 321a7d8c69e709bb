package hooks_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/store/memory"
)

// Godwit in a mochi server of your own.
func Example() {
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})   // your mochi server,
	_ = server.AddListener(listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})) // your listeners

	db := memory.New() // in earnest: badger.Open("push.db")
	people, err := contacts.Open(context.Background(), db.Table(), contacts.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	engine := delivery.New(delivery.Config{Store: db, Directory: people})
	if err := server.AddHook(hooks.New(server, engine), nil); err != nil { // starts with the server, stops with it
		fmt.Println(err)
		return
	}
	if err := server.Serve(); err != nil {
		fmt.Println(err)
	}
	fmt.Println("serving", server.Listeners.Len(), "listener")
	_ = server.Close()
	_ = people.Close()
	// Output: serving 1 listener
}
