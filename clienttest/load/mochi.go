package main

import (
	"context"
	"log/slog"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/spf13/cobra"
)

// newMochi is a stock mochi server in a process of its own: what Godwit's hooks are added to, without them.
func newMochi() *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "mochi",
		Short: "Run a stock mochi broker to compare with",
		RunE:  func(cmd *cobra.Command, _ []string) error { return serveMochi(cmd.Context(), addr) },
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:1883", "`HOST:PORT` to listen on")
	return cmd
}

func serveMochi(ctx context.Context, addr string) error {
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(new(allowAll), nil); err != nil {
		return err
	}
	if err := server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: addr})); err != nil {
		return err
	}
	if err := server.Serve(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil // the process ends; mochi's Close may hang while a client leaves (Clients.GetByListener locks twice)
}

// allowAll lets everybody do everything; mochi's own hook of that kind comes with a YAML library that we have no use for.
type allowAll struct{ mqtt.HookBase }

func (*allowAll) ID() string { return "allow-all" }

func (*allowAll) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

func (*allowAll) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

func (*allowAll) OnACLCheck(*mqtt.Client, string, bool) bool { return true }
