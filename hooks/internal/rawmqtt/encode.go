package rawmqtt

import (
	"bytes"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Encode returns the bytes of a packet that a client sends.
func Encode(pk packets.Packet, version byte) ([]byte, error) {
	pk.ProtocolVersion = version
	pk.Mods.AllowResponseInfo = true
	var b bytes.Buffer
	encode := map[byte]func(*bytes.Buffer) error{
		packets.Connect: pk.ConnectEncode, packets.Publish: pk.PublishEncode, packets.Puback: pk.PubackEncode, packets.Pubrec: pk.PubrecEncode,
		packets.Pubrel: pk.PubrelEncode, packets.Subscribe: pk.SubscribeEncode, packets.Unsubscribe: pk.UnsubscribeEncode,
		packets.Pingreq: pk.PingreqEncode, packets.Disconnect: pk.DisconnectEncode,
	}
	err := encode[pk.FixedHeader.Type](&b)
	return b.Bytes(), err
}
