package raw

import (
	"errors"
	"fmt"
	"io"
)

// ErrMalformed is wrapped by every error about bytes that are no MQTT packet.
var ErrMalformed = errors.New("malformed packet")

// A Frame is one control packet as it was read.
type Frame struct {
	Type  byte
	Flags byte
	Body  []byte // what follows the fixed header
}

// A Reader cuts frames out of a byte stream, as many from one read as came.
type Reader struct {
	src        io.Reader
	buf        []byte
	start, end int
	max        int
}

// NewReader returns a Reader with a buffer of size bytes, which grows up to max for a frame that needs it.
func NewReader(src io.Reader, size, max int) *Reader {
	return &Reader{src: src, buf: make([]byte, size), max: max}
}

// Next returns the next frame, which is valid until Next is called again. It reads only when no whole frame is buffered.
func (r *Reader) Next() (Frame, error) {
	for {
		f, n, err := cut(r.buf[r.start:r.end])
		if err != nil {
			return Frame{}, err
		}
		if n > 0 && r.start+n <= r.end {
			r.start += n
			return f, nil
		}
		if err := r.fill(); err != nil {
			return Frame{}, err
		}
	}
}

// Ready reports whether Next would return without reading.
func (r *Reader) Ready() bool {
	_, n, err := cut(r.buf[r.start:r.end])
	return err != nil || n > 0 && r.start+n <= r.end
}

func (r *Reader) fill() error {
	if err := r.makeRoom(); err != nil {
		return err
	}
	got, err := r.src.Read(r.buf[r.end:])
	r.end += got
	if got > 0 {
		return nil
	}
	if err == io.EOF && r.end > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// makeRoom moves what is left to the front and lets the buffer grow to the frame that it starts with.
func (r *Reader) makeRoom() error {
	_, n, _ := cut(r.buf[r.start:r.end])
	if n > r.max {
		return fmt.Errorf("%w: a frame of %d bytes, at most %d were expected", ErrMalformed, n, r.max)
	}
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if want := max(n, r.end+1); want > len(r.buf) {
		r.buf = append(r.buf, make([]byte, want-len(r.buf))...)
	}
	return nil
}

// cut returns the first frame of b and its length, which may be more than b holds; 0 when that cannot be told yet.
func cut(b []byte) (Frame, int, error) {
	remaining, shift := 0, 0
	for i := 1; i < len(b); i++ {
		remaining |= int(b[i]&0x7F) << shift
		if b[i] < 0x80 {
			f := Frame{Type: b[0] >> 4, Flags: b[0] & 0x0F}
			total := 1 + i + remaining
			if total <= len(b) {
				f.Body = b[1+i : total : total]
			}
			return f, total, nil
		}
		if shift += 7; shift > 21 {
			return Frame{}, 0, fmt.Errorf("%w: a remaining length of more than four bytes", ErrMalformed)
		}
	}
	return Frame{}, 0, nil
}
