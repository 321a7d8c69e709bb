package broker

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/hooks"
)

// liveKeys are the keys, and sections, that Reload changes while the broker runs.
var liveKeys = []string{
	"auth.jwt", "listen.tls.cert_file", "listen.tls.key_file", "listen.tls.client_ca_file", "admin.token",
	"limits.connections", "limits.connections_per_address", "limits.connects_per_address", "limits.keepalive_max", "limits.send_rate",
	"limits.inbox", "limits.inbox_age", "limits.notices", "limits.history", "push", "contacts.changes_per_day", "registration.decay",
	"sms.originator", "sms.template", "sms.max_segments", "sms.validity", "sms.retry", "sms.unknown", "sms.dlr_timeout", "sms.caps",
	"sms.budget", "sms.price", "sms.allow", "sms.deny", "sms.reply_window", "sms.reply_quiet", "sms.stop_words", "topics", "log.level",
}

// LiveKeys returns the keys, and sections, of the configuration that Reload changes while the broker runs.
func LiveKeys() []string { return slices.Clone(liveKeys) }

// Reload gives a running broker another configuration, and reads certificates and keys again. What can change while it runs does so at once; restart
// are the keys that differ and need a restart, whose old values stay in force. After an error, of which config.Problems names keys, nothing has changed.
func (b *Broker) Reload(cfg config.Config) (restart []string, err error) {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	r := b.running.Load()
	if r == nil {
		return nil, errors.New("broker: it does not run")
	}
	if err := b.whole(cfg); err != nil {
		return nil, err
	}
	was := b.Config()
	next := was.With(cfg, changeable(was, cfg)...)
	if err := r.change(was, next); err != nil {
		return nil, err
	}
	restart = config.Differences(next, cfg)
	changed := config.Differences(was, next)
	b.opt.Log.Info().Strs("changed", changed).Msg("the configuration was read again")
	if len(restart) > 0 {
		b.opt.Log.Warn().Strs("keys", restart).Msg("these keys were changed and need a restart")
	}
	return restart, nil
}

// whole checks a configuration as New does, the gateways included.
func (b *Broker) whole(cfg config.Config) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	if b.opt.Gateways != nil {
		return nil
	}
	_, err := gatewaysOf(cfg, b.opt, b.raw)
	return err
}

// changeable are the live keys. What is booked is counted in one currency, so another needs a restart; and so do TLS where there was none, and ACME.
func changeable(was, next config.Config) []string {
	return slices.DeleteFunc(LiveKeys(), func(key string) bool {
		switch key {
		case "sms.budget", "sms.price":
			a, b := policyOf(was.SMS).Prices.Currency, policyOf(next.SMS).Prices.Currency
			return a != "" && b != "" && a != b
		case "listen.tls.cert_file", "listen.tls.key_file", "listen.tls.client_ca_file":
			a, b := was.Listen.TLS, next.Listen.TLS
			return a.Auto != b.Auto || (a.CertFile == "") != (b.CertFile == "")
		case "auth.jwt":
			return was.Auth.Mode != next.Auth.Mode
		case "admin.token": // the address that stays until then would let nobody in
			return next.Admin.Token == "" && was.Socket() == ""
		}
		return false
	})
}

// change puts a configuration in force that differs from the one before in live keys only. What may well fail comes first, so that nothing is undone that
// had effects.
func (r *running) change(was, next config.Config) error {
	verifier, err := verifierOf(next.Auth.JWT)
	if err != nil {
		return err
	}
	undo := func() {}
	if r.identity != nil {
		if undo, err = r.identity.change(next.Listen.TLS); err != nil {
			return fmt.Errorf("broker: %w", err)
		}
	}
	if err = r.hook.Apply(hookOptions(next)); err == nil {
		err = r.engine.Apply(engineSettings(next))
	}
	if err != nil { // Check would have said it
		undo()
		return fmt.Errorf("broker: %w", errors.Join(err, r.hook.Apply(hookOptions(was))))
	}
	r.people.SetVerifier(verifier)
	r.people.SetDecay(next.Registration.Decay.Std())
	r.visitors.bound(next.Limits)
	r.level.set(next.Log.Level)
	r.api.SetAdminToken(string(next.Admin.Token))
	r.api.SetSendRate(float64(next.Limits.SendRate))
	r.inForce.Store(&next)
	return nil
}

// Config returns the configuration in force: that of New, or what Reload has made of it.
func (b *Broker) Config() config.Config { return *b.inForce.Load() }

func hookOptions(c config.Config) hooks.Options {
	return hooks.Options{
		SendRate: float64(c.Limits.SendRate), KeepaliveMax: c.Limits.KeepaliveMax.Std(), Open: c.Topics.Open,
	}
}

// bound sets how many may come.
func (v *Visitors) bound(l config.Limits) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Connections, v.PerAddress, v.FailedLogins = l.Connections, l.ConnectionsPerAddress, int(math.Ceil(float64(l.ConnectsPerAddress)))
}

// change reads other files; undo has those from before in use again. After an error they are.
func (i *identity) change(files config.TLS) (undo func(), err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	before, using := i.files, i.using.Load()
	i.files = files
	if err = i.read(i.stampNow()); err != nil {
		i.files = before
	}
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.files = before
		i.using.Store(using)
	}, err
}
