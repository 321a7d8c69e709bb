package loadgen

import "math/bits"

// A seqset is a set of sequence numbers, one bit each.
type seqset struct {
	words []uint64
	n     uint64
	low   uint64 // the lowest number that is not in the set
}

func (s *seqset) has(seq uint64) bool {
	w := seq / 64
	return w < uint64(len(s.words)) && s.words[w]&(1<<(seq%64)) != 0
}

// add reports whether seq is new.
func (s *seqset) add(seq uint64) bool {
	if s.has(seq) {
		return false
	}
	for seq/64 >= uint64(len(s.words)) {
		s.words = append(s.words, 0)
	}
	s.words[seq/64] |= 1 << (seq % 64)
	s.n++
	for s.has(s.low) {
		s.low++
	}
	return true
}

// without counts what is in s and not in other.
func (s *seqset) without(other *seqset) (n uint64) {
	for i, w := range s.words {
		if i < len(other.words) {
			w &^= other.words[i]
		}
		n += uint64(bits.OnesCount64(w))
	}
	return n
}
