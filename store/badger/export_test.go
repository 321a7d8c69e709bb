package badger

// WithVolume returns opt for a volume of which a test says how much is free.
func (opt Options) WithVolume(measure func() (free, total uint64)) Options {
	opt.volume = func(string) (uint64, uint64, error) {
		free, total := measure()
		return free, total, nil
	}
	return opt
}

// Measure makes the next commit measure the volume.
func (s *Store) Measure() {
	<-s.turn
	s.space.written = measureAfter
	s.unlock()
}
