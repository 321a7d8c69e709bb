package hooks

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Options are what an operator may set. Zero values mean the documented defaults.
type Options struct {
	// Open are topic filters that are plain MQTT, routed by mochi; none. Each is a topic filter of at most 512 octets without control
	// characters (MQTT 5 §4.7), whose first level is neither a wildcard nor to, app, sms or u, and does not begin with $.
	Open         []string
	Retain       bool          // open topics may be retained; otherwise the flag is dropped and clients are told so
	SendRate     float64       // messages a second and connection, with a burst of one second's worth; 0: unlimited
	KeepaliveMax time.Duration // on MQTT 5; 20 min
	Session      time.Duration // how long an MQTT 3.1.1 session is remembered, and the most for MQTT 5; 30 days
}

func (o Options) withDefaults() (Options, error) {
	for _, f := range o.Open {
		if !validFilter(f) || isOurs(f) || f[0] == '$' || f[0] == '#' || f[0] == '+' {
			return o, fmt.Errorf("hooks: Options.Open: %q is not a topic filter that begins with a name of its own: t/# would be", f)
		}
	}
	if o.SendRate < 0 || math.IsNaN(o.SendRate) {
		return o, fmt.Errorf("hooks: Options.SendRate is %v: it cannot be negative", o.SendRate)
	}
	if o.KeepaliveMax == 0 {
		o.KeepaliveMax = 20 * time.Minute
	}
	if o.KeepaliveMax < time.Second || o.KeepaliveMax > math.MaxUint16*time.Second {
		return o, fmt.Errorf("hooks: Options.KeepaliveMax is %v: 1 s to 65535 s are possible", o.KeepaliveMax)
	}
	if o.Session == 0 {
		o.Session = 30 * 24 * time.Hour
	}
	return o, nil
}

// settings are Options in force. They are replaced, never changed.
type settings struct {
	Options
	interval time.Duration // between publishes at SendRate; 0: no limit
	burst    time.Duration
}

func newSettings(o Options) (*settings, error) {
	o, err := o.withDefaults()
	s := &settings{Options: o}
	s.Open = slices.Clone(o.Open)
	if o.SendRate > 0 {
		s.interval = max(time.Duration(float64(time.Second)/o.SendRate), 1)
		s.burst = max(time.Second, s.interval)
	}
	return s, err
}

// Apply replaces the options while the server runs; with an error everything stays as it was. Open, Retain and SendRate count from the
// next packet of every client, KeepaliveMax and Session for clients that connect from now on. A subscription to a topic that is not open any
// more stays until its client unsubscribes, but nobody can publish there.
func (h *Hook) Apply(o Options) error {
	s, err := newSettings(o)
	if err != nil {
		return err
	}
	h.settings.Store(s)
	return nil
}

func (h *Hook) options() *settings { return h.settings.Load() }
