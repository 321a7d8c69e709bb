package badger

// Full reports whether so little of the volume is free now that new messages are refused.
func (s *Store) Full() bool {
	free, total, err := s.space.volume(s.space.dir) // what never changes: no turn is needed
	return err != nil || free < s.space.mark(total)
}
