package broker

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/contacts"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/sms"
	"github.com/seed-7a41469f/godwit/store/badger"
)

// A store is what the broker needs of one.
type store interface {
	delivery.Store
	Table() contacts.Table
	Alarm() error // what was found missing when it was opened
	Full() bool   // below the free-space watermark
	Close() error
}

var _ store = (*badger.Store)(nil)

// openStore opens the embedded store. The default watermark is the store's own: 1 GiB or 15 % of the volume, whichever is less.
func openStore(dir string, diskFree config.Size, log zerolog.Logger) (store, error) {
	free := max(int64(diskFree), 1) // 0 is zero: no watermark
	if diskFree == config.Default().Limits.DiskFree {
		free = 0
	}
	return badger.Open(dir, badger.Options{Log: log.With().Str("part", "store").Logger(), DiskFree: free})
}

// engineConfig is what the engine is made of.
func (b *Broker) engineConfig(db store, people *contacts.Directory, optOuts *sms.OptOuts) delivery.Config {
	cfg := engineSettings(b.cfg)
	cfg.Store, cfg.Directory, cfg.OptOuts, cfg.Log = db, people, optOuts, b.opt.Log.With().Str("part", "delivery").Logger()
	for _, n := range b.cfg.SMS.Numbers {
		cfg.Numbers = append(cfg.Numbers, contacts.Number(n))
	}
	for _, r := range b.cfg.SMS.Routes {
		cfg.Routes = append(cfg.Routes, sms.Route{Prefix: r.Prefix, Use: r.Use})
	}
	for i, g := range b.gateways {
		if i == 0 {
			cfg.SMS = g
			continue
		}
		cfg.Gateways = append(cfg.Gateways, g)
	}
	return cfg
}

// engineSettings translates: in the file a duration of 0 is zero, in delivery.Config it is the default.
func engineSettings(c config.Config) delivery.Config {
	s, p, l := c.SMS, c.Push, c.Limits
	changes := c.Contacts.ChangesPerDay
	if changes == 0 {
		changes = -1
	}
	return delivery.Config{
		Originator: s.Originator, Policy: policyOf(s), StopWords: s.StopWords, ReplyWindow: s.ReplyWindow.Std(), ReplyQuiet: atLeast(s.ReplyQuiet),
		Template: s.Template, MaxSegments: s.MaxSegments, Validity: s.Validity.Std(),
		Retry:    delivery.Retry{Tries: s.Retry.Tries, First: s.Retry.First.Std(), Factor: s.Retry.Factor, Max: s.Retry.Max.Std()},
		Unknown:  delivery.Unknown{Hold: atLeast(s.Unknown.Hold), Resend: s.Unknown.Then == "resend"},
		Response: s.ResponseTimeout.Std(), DLRTimeout: s.DLRTimeout.Std(),
		AckTimeout: p.AckTimeout.Std(), AfterMax: p.AfterMax.Std(), OfflineGrace: atLeast(p.OfflineGrace), StormHold: atLeast(p.StormHold), Window: p.Window,
		RestartGrace: orNone(p.RestartGrace), Inbox: l.Inbox, InboxAge: l.InboxAge.Std(), History: orNone(l.History), Notices: l.Notices,
		ChangesPerDay: changes,
	}
}

// policyOf translates what SMS may cost, and where and how many may go.
func policyOf(s config.SMS) sms.Policy {
	p := sms.Policy{
		DayBudget: sms.Money(s.Budget.Day), MonthBudget: sms.Money(s.Budget.Month), Allow: s.Allow, Deny: s.Deny,
		SenderDay: s.Caps.SenderDay, RecipientDay: s.Caps.RecipientDay, PrefixHour: s.Caps.PrefixHour, LoopHour: s.Caps.LoopHour,
	}
	for prefix, price := range s.Price {
		if p.Prices.Micros == nil {
			p.Prices = sms.Prices{Currency: price.Currency, Micros: map[string]int64{}} // Check has seen that all have the same
		}
		p.Prices.Micros[prefix] = price.Micros
	}
	return p
}

// atLeast makes 0 the shortest duration there is, where a Config takes 0 for the default.
func atLeast(d config.Duration) time.Duration { return max(d.Std(), 1) }

// orNone makes 0 negative, where a Config takes that for none.
func orNone(d config.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d.Std()
}
