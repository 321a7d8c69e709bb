package broker

import (
	"log/slog"
	"math"
	"time"

	"github.com/mochi-mqtt/server/v2"
)

const (
	receiveMaximum  = 1024 // publishes a client may have unacknowledged; a place costs memory only once it was used
	sessionExpiry   = 30 * 24 * time.Hour
	writesPending   = 64 // of what mochi routes on open topics; the queue is allocated for every client
	inflight        = 1024
	topicAliases    = 16
	readBuffer      = 512 // octets a client: idle connections are many, and a longer packet is read past the buffer
	writeBuffer     = 512
	sysInterval     = 60 // seconds
	oldestProtocol  = 3  // MQTT 3.1
	defaultPacket   = 64 << 10
	defaultSessions = 100_000
)

// Settings are mochi's options for a broker that takes packets of at most packet octets and so many connections; 0: 64 KiB, 100,000.
func Settings(packet, connections int, log *slog.Logger) *mqtt.Options {
	if packet <= 0 {
		packet = defaultPacket
	}
	if connections <= 0 {
		connections = defaultSessions
	}
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClients = int64(connections)
	caps.MaximumPacketSize = uint32(min(packet, math.MaxInt32))
	caps.MaximumClientWritesPending = writesPending
	caps.MaximumInflight = inflight
	caps.ReceiveMaximum = receiveMaximum
	caps.MaximumSessionExpiryInterval = uint32(sessionExpiry / time.Second)
	caps.TopicAliasMaximum = topicAliases
	caps.SharedSubAvailable = 0
	caps.MinimumProtocolVersion = oldestProtocol
	// Retain is not available, and the hooks say so in the CONNACK. Here it stays 1: mochi would refuse every CONNECT whose will has the flag,
	// which many devices set.
	caps.RetainAvailable = 1
	caps.Compatibilities.NoInheritedPropertiesOnAck = true
	return &mqtt.Options{
		Capabilities:             caps,
		ClientNetReadBufferSize:  readBuffer,
		ClientNetWriteBufferSize: writeBuffer,
		SysTopicResendInterval:   sysInterval,
		Logger:                   log,
	}
}
