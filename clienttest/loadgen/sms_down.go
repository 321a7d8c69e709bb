package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-7a41469f/godwit/sms/smstest"
)

// SMSDownOptions shape SMSDown; a zero field means what is noted.
type SMSDownOptions struct {
	SMSOptions               // 100,000 messages
	Rest       time.Duration // how long nothing happens between the last PUBACK and the SMSC's return: 30 s
	Rate       float64       // segments a second that the gateway may submit: 500
}

// SMSDownResult is what SMSDown measured. Memory is the broker's resident set.
type SMSDownResult struct {
	Accepted   Costs    `json:"accepted"` // from the first publish to the last PUBACK
	RSSBefore  int64    `json:"rss_before"`
	RSSPeak    int64    `json:"rss_peak"`     // while accepting
	RSSSettled int64    `json:"rss_settled"`  // after the rest
	RestCPU    float64  `json:"rest_percent"` // of one processor, that the broker used in the last third of the rest
	Drained    Costs    `json:"drained"`      // from the SMSC's return to the last receipt that says delivered
	PerSecond  float64  `json:"submits_second"`
	Ratio      float64  `json:"ratio"` // of PerSecond to the rate
	Tally      SMSTally `json:"tally"`
}

// SMSDown publishes while the SMSC is down, lets everything wait, and then has the SMSC come up and take it all. It is stopped when the call comes.
func SMSDown(ctx context.Context, t Target, smsc *smstest.SMPP, o SMSDownOptions) (r SMSDownResult, err error) {
	setDefault(&o.Messages, 100_000)
	setDefault(&o.Rest, 30*time.Second)
	setDefault(&o.Rate, 500)
	o.SMSOptions = o.withDefaults()
	if t.PID == 0 {
		return r, errors.New("the broker's memory cannot be measured without the id of its process")
	}
	l := newTexting(ctx, t, smsc, o.SMSOptions)
	if err = l.connect(); err == nil {
		err = l.down(o, &r)
	}
	if err = l.finish(err); err != nil {
		return r, err
	}
	log := l.smsc.Submits()
	r.PerSecond = rateOf(log)
	r.Ratio = r.PerSecond / o.Rate
	r.Tally = l.count(log)
	return r, nil
}

func (l *texting) down(o SMSDownOptions, r *SMSDownResult) error {
	if err := resetPeak(l.target.PID); err != nil {
		return err
	}
	from, err := readCounters(l.target.PID, 0)
	if err != nil {
		return err
	}
	r.RSSBefore = from.brokerRSS
	if r.Accepted, err = l.publish(from); err != nil {
		return err
	}
	r.RSSPeak = r.Accepted.BrokerPeak
	if r.RestCPU, r.RSSSettled, err = l.rest(o.Rest); err != nil {
		return err
	}
	if err := l.smsc.Start(); err != nil {
		return err
	}
	if from, err = readCounters(l.target.PID, l.heard()); err != nil {
		return err
	}
	r.Drained, err = l.hear(from)
	return err
}

// rest lets time pass, and reads what the broker did in the last third of it.
func (l *texting) rest(d time.Duration) (percent float64, rss int64, err error) {
	if err := sleep(l.ctx, d-d/3); err != nil {
		return 0, 0, err
	}
	from, err := readCounters(l.target.PID, 0)
	if err != nil {
		return 0, 0, err
	}
	if err := sleep(l.ctx, d/3); err != nil {
		return 0, 0, err
	}
	to, err := readCounters(l.target.PID, 0)
	if err != nil {
		return 0, 0, err
	}
	return 100 * (to.broker - from.broker).Seconds() / to.at.Sub(from.at).Seconds(), to.brokerRSS, nil
}

// Check returns an error that names what was lost, doubled or wrong.
func (r SMSDownResult) Check() error {
	if err := r.Tally.Check(); err != nil {
		return fmt.Errorf("after the SMSC was down: %w", err)
	}
	return nil
}
