package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"net"

	"github.com/pires/go-proxyproto"
)

// proxyBuffer holds a whole header of version 1, which is at most 107 octets.
const proxyBuffer = 256

// readProxy reads the PROXY header that a connection must begin with (haproxy's proxy-protocol.txt, versions 1 and 2). LOCAL and UNKNOWN, and
// addresses that are not TCP's, leave the connection its own address.
func (w *wire) readProxy() error {
	r := bufio.NewReaderSize(w.Conn, proxyBuffer)
	h, err := proxyproto.Read(r)
	if err != nil {
		return fmt.Errorf("read the PROXY header: %w", err)
	}
	if from, ok := h.SourceAddr.(*net.TCPAddr); ok && h.Command.IsProxy() {
		w.remote = from
	}
	rest, _ := r.Peek(r.Buffered())
	w.head = bytes.Clone(rest)
	return nil
}
