// Package smpp is a gateway that speaks SMPP 3.4 to an SMSC, as an ESME: it keeps sessions bound, submits segments, and gives receipts and
// MOs to the sink.
//
// A submit_sm is written once. Refused, or certainly not written, it has the class of its cause (see statuses); written and not answered in
// time, or before the connection ended, it is unknown. What the SMSC delivers is answered with 0x00 only once the sink has it durable, and
// with 0x64 otherwise, so that it comes again.
//
// The segments of a long MO may come in any order, on several sessions, and again. Their answers are held back until the message is whole
// and durable, for a third of the response time-out; then the answer is 0x64, while the segment is kept in memory: so an SMSC that
// delivers one at a time gets its message through as well. What is still missing after Config.Parts shows as […].
package smpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/sms"
)

// Config is how a Gateway works. Zero values mean the documented defaults.
type Config struct {
	Name string // of the gateway, in configuration, metrics and trails
	Addr string // host:port of the SMSC
	TLS  *tls.Config

	Pair       bool   // a transmitter and a receiver for each session, instead of a transceiver
	SystemID   string // at most 15 octets (SMPP 3.4 §5.2.1)
	Password   string // at most 8 octets by SMPP 3.4 §5.2.2; up to 64 are passed on, for SMSCs that take them
	SystemType string // at most 12 octets

	Sessions int     // bound at once: 1
	Window   int     // submit_sm of one session that wait for their answer, at most: 10
	Rate     float64 // segments a second; 0: no limit

	Enquire  time.Duration // between two enquire_link: 30 s
	Response time.Duration // how long the SMSC may take for an answer: 10 s
	Backoff  time.Duration // the longest pause between two binds, ten times as long after one that was refused for good: 30 s
	Parts    time.Duration // how long the missing segments of a long MO are waited for: 5 min

	Concat     Concat         // how long messages are sent
	Numbering  Numbering      // of addresses
	ResponseID IDBase         // how the SMSC writes message ids in responses
	ReceiptID  IDBase         // how it writes them in receipts
	Zone       *time.Location // of the dates in receipts: UTC

	Wire *sms.Wire      // nil: none
	Log  zerolog.Logger // of what befalls the sessions
}

// A Concat is the form of messages that need several segments.
type Concat uint8

// The forms of concatenation.
const (
	UDH8    Concat = iota // a user data header with an 8-bit reference (3GPP TS 23.040 §9.2.3.24.1)
	UDH16                 // with a 16-bit reference (§9.2.3.24.8)
	SAR                   // sar_msg_ref_num, sar_total_segments, sar_segment_seqnum (SMPP 3.4 §5.3.2.22 to 24); the SMSC makes the header
	Payload               // the whole text as message_payload in one submit_sm (SMPP 3.4 §5.3.2.32); the SMSC makes the segments
)

// Numbering is the type of number and numbering plan of addresses. Nil means the documented default.
type Numbering struct {
	Number       *Plan // of a number: 1, 1 (international, E.164)
	ShortCode    *Plan // of an originator of up to six digits: 3, 0 (network specific)
	Alphanumeric *Plan // of a name as originator: 5, 0
}

// A Plan is a type of number and a numbering plan (SMPP 3.4 §5.2.5 and 5.2.6).
type Plan struct{ TON, NPI byte }

// An IDBase is how an SMSC writes message ids.
type IDBase uint8

// The bases of ids. An id that is no number in its base is a Text.
const (
	Text    IDBase = iota // case and leading zeros do not matter
	Hex                   // a hexadecimal number
	Decimal               // a decimal number
)

// A Gateway is an ESME with its sessions.
type Gateway struct {
	config  Config
	links   []*link
	intakes []*intake
	late    atomic.Int64
	first   uint32 // sequence number of a session

	mu      sync.Mutex
	ended   bool
	changed chan struct{} // closed when a session can take more, or a link is up or down; nil: nobody waits
	next    int           // the link whose turn it is
}

var _ sms.Gateway = (*Gateway)(nil)

// New returns a Gateway that is not connected until Run. The error names what is wrong in config.
func New(config Config) (*Gateway, error) {
	if err := config.check(); err != nil {
		return nil, fmt.Errorf("SMPP gateway %q: %w", config.Name, err)
	}
	config.fill()
	g := &Gateway{config: config, first: 1}
	for i := range config.Sessions {
		if !config.Pair {
			g.links = append(g.links, newLink(g, transceiver, i+1))
			continue
		}
		g.links = append(g.links, newLink(g, transmitter, i+1), newLink(g, receiver, i+1))
	}
	for range intakes {
		g.intakes = append(g.intakes, newIntake(g))
	}
	return g, nil
}

func (c *Config) check() error {
	if c.Name == "" {
		return errors.New("the gateway needs a Name")
	}
	if _, port, err := net.SplitHostPort(c.Addr); err != nil || port == "" {
		return fmt.Errorf("the Addr %q is no host:port of an SMSC, such as smsc.example:2775", c.Addr)
	}
	for _, f := range []struct {
		name, value string
		most        int
	}{{"SystemID", c.SystemID, 15}, {"Password", c.Password, 64}, {"SystemType", c.SystemType, 12}} {
		if len(f.value) > f.most || strings.ContainsFunc(f.value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("%s may have up to %d characters of ASCII", f.name, f.most) // not the value: it may be secret
		}
	}
	for _, f := range []struct {
		name        string
		value, most float64
	}{{"Sessions", float64(c.Sessions), 100}, {"Window", float64(c.Window), 10000}, {"Rate", c.Rate, 1e6}, {"Enquire", c.Enquire.Hours(), 24},
		{"Response", c.Response.Hours(), 1}, {"Backoff", c.Backoff.Hours(), 24}, {"Parts", c.Parts.Hours(), 24},
		{"Concat", float64(c.Concat), float64(Payload)}, {"ResponseID", float64(c.ResponseID), float64(Decimal)},
		{"ReceiptID", float64(c.ReceiptID), float64(Decimal)}} {
		if !(f.value >= 0 && f.value <= f.most) {
			return fmt.Errorf("%s is out of its range: durations up to 24 h (Response: 1 h), Sessions up to 100, Window up to 10000", f.name)
		}
	}
	return nil
}

func (c *Config) fill() {
	orDefault(&c.Sessions, 1)
	orDefault(&c.Window, 10)
	orDefault(&c.Enquire, 30*time.Second)
	orDefault(&c.Response, 10*time.Second)
	orDefault(&c.Backoff, 30*time.Second)
	orDefault(&c.Parts, 5*time.Minute)
	orDefault(&c.Numbering.Number, &Plan{1, 1})
	orDefault(&c.Numbering.ShortCode, &Plan{3, 0})
	orDefault(&c.Numbering.Alphanumeric, &Plan{5, 0})
	orDefault(&c.Zone, time.UTC)
}

func orDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// Name implements sms.Gateway.
func (g *Gateway) Name() string { return g.config.Name }

// Abilities implements sms.Gateway. With SAR a segment leaves room for a 16-bit reference, for the SMSC may put the 16 bits of it into one.
func (g *Gateway) Abilities() sms.Abilities {
	return sms.Abilities{
		DLR:         true,
		Window:      g.config.Sessions * g.config.Window,
		Rate:        g.config.Rate,
		Whole:       g.config.Concat == Payload,
		Reference16: g.config.Concat == UDH16 || g.config.Concat == SAR,
	}
}

// Late returns how many answers have come after their submit was given up as unknown.
func (g *Gateway) Late() int64 { return g.late.Load() }

// Run implements sms.Gateway. Once ctx is done nothing new is submitted; what is under way may take the response time-out to be answered,
// then the sessions are unbound. It is called once.
func (g *Gateway) Run(ctx context.Context, sink sms.Sink) error {
	var links, intakes sync.WaitGroup
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	for _, in := range g.intakes {
		intakes.Go(func() { in.run(working, sink) })
	}
	for _, l := range g.links {
		links.Go(func() { l.run(ctx) })
	}
	<-ctx.Done()
	g.end()
	links.Wait()
	stop() // not before: what came in is answered on its session
	intakes.Wait()
	return nil
}

// logf writes a line to the wire log.
func (g *Gateway) logf(format string, args ...any) { g.config.Wire.Logf(format, args...) }
