package contacts

import "time"

// SetDecay changes Config.Decay while the Directory is in use; 0 is the default.
func (d *Directory) SetDecay(t time.Duration) {
	if t == 0 {
		t = defaultDecay
	}
	d.decay.Store(int64(t))
}
