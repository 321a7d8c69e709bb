package api

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-7a41469f/godwit/delivery"
)

// Stats is how the broker fares, counted since it started.
type Stats struct {
	Version  string       `json:"version"`
	Started  string       `json:"started" format:"date-time"`
	Uptime   int64        `json:"uptime" doc:"Seconds."`
	Health   Health       `json:"health"`
	Devices  DeviceStats  `json:"devices"`
	Messages MessageStats `json:"messages"`
	SMS      SMSStats     `json:"sms"`
	Money    Money        `json:"money"`
	Gateways []Gateway    `json:"gateways" nullable:"false"`
}

// DeviceStats counts devices now.
type DeviceStats struct {
	Connected int64 `json:"connected" doc:"Connections that have logged in."`
	Ready     int64 `json:"ready" doc:"Those that a message can be pushed to."`
}

// MessageStats counts messages.
type MessageStats struct {
	Open       int64    `json:"open" doc:"Now, those that have not reached a final state."`
	Accepted   Accepted `json:"accepted"`
	Settled    Settled  `json:"settled"`
	Duplicates uint64   `json:"duplicates" doc:"PUBACKs for a message that was already delivered another way."`
}

// Accepted counts messages on disk and acknowledged, by their root; mo: SMS that came in.
type Accepted struct {
	To  uint64 `json:"to"`
	App uint64 `json:"app"`
	SMS uint64 `json:"sms"`
	MO  uint64 `json:"mo"`
}

// Settled counts messages that reached a final state.
type Settled struct {
	Push      uint64 `json:"delivered_push"`
	SMS       uint64 `json:"delivered_sms"`
	Submitted uint64 `json:"submitted" doc:"An SMS of which no report is to be expected any more."`
	Failed    uint64 `json:"failed"`
	Expired   uint64 `json:"expired"`
}

// SMSStats is how the fallback fares.
type SMSStats struct {
	Queue int64 `json:"queue" doc:"Messages that wait for a place at a gateway."`
	Held  int64 `json:"held" doc:"Messages whose SMS the storm brake holds."`
	Storm bool  `json:"storm" doc:"The brake sees a storm."`
}

func (a *API) stats(ctx context.Context, _ *struct{}) (*out[Stats], error) {
	money, err := a.spend(ctx)
	if err != nil {
		return nil, err
	}
	e := a.cfg.Engine.Stats()
	s := Stats{
		Version: a.cfg.Version, Started: date(a.began), Uptime: int64(time.Since(a.began) / time.Second), Money: money, Gateways: a.gateways(),
		Devices:  DeviceStats{Ready: e.Ready.Load()},
		Messages: MessageStats{Open: e.Open.Load(), Accepted: acceptedOf(e), Settled: settledOf(e), Duplicates: e.Duplicates.Load()},
		SMS:      SMSStats{Queue: e.SMSQueue.Load(), Held: e.Held.Load(), Storm: e.Storm.Load()},
	}
	if a.cfg.Connected != nil {
		s.Devices.Connected = a.cfg.Connected()
	}
	if a.cfg.Health != nil {
		s.Health = a.cfg.Health()
	}
	return answer(s, nil)
}

func acceptedOf(e *delivery.Stats) Accepted {
	return Accepted{
		To: e.Accepted[delivery.RootTo].Load(), App: e.Accepted[delivery.RootApp].Load(), SMS: e.Accepted[delivery.RootSMS].Load(), MO: e.Accepted[delivery.RootMO].Load(),
	}
}

func settledOf(e *delivery.Stats) Settled {
	return Settled{
		Push: e.Settled[delivery.Delivered][delivery.ViaPush].Load(), SMS: e.Settled[delivery.Delivered][delivery.ViaSMS].Load(),
		Submitted: sum(e.Settled[delivery.Submitted][:]),
		Failed:    sum(e.Settled[delivery.Failed][:]), Expired: sum(e.Settled[delivery.Expired][:]),
	}
}

func sum(all []atomic.Uint64) (n uint64) {
	for i := range all {
		n += all[i].Load()
	}
	return n
}
