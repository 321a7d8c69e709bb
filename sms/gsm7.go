package sms

import "strings"

// esc is the escape to the extension table (3GPP TS 23.038 §6.2.1).
const esc = 0x1B

// alphabet is the GSM 7 bit default alphabet, by septet (3GPP TS 23.038 §6.2.1). The escape shows as a space where nothing follows it.
var alphabet = [128]rune([]rune("@£$¥èéùìòÇ\nØø\rÅå" +
	"Δ_ΦΓΛΩΠΨΣΘΞ ÆæßÉ" +
	" !\"#¤%&'()*+,-./" +
	"0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNO" +
	"PQRSTUVWXYZÄÖÑÜ§" +
	"¿abcdefghijklmno" +
	"pqrstuvwxyzäöñüà"))

// extension is the extension table (3GPP TS 23.038 §6.2.1.1); zero: not in it. A second escape is reserved and shows as a space.
var extension = [128]rune{
	0x0A: '\f', 0x14: '^', esc: ' ', 0x28: '{', 0x29: '}', 0x2F: '\\',
	0x3C: '[', 0x3D: '~', 0x3E: ']', 0x40: '|', 0x65: '€',
}

// septets is the way back: the septet of a character, or the escape and it.
var septets = reverse()

func reverse() map[rune]uint16 {
	m := make(map[rune]uint16, len(alphabet)+16)
	for s, r := range extension {
		if r != 0 && s != esc {
			m[r] = esc<<8 | uint16(s)
		}
	}
	for s, r := range alphabet {
		if s != esc {
			m[r] = uint16(s)
		}
	}
	return m
}

// septetLen returns how many septets a character takes; 0: it is not in the alphabet.
func septetLen(r rune) int {
	switch s, ok := septets[r]; {
	case !ok:
		return 0
	case s > 0x7F:
		return 2
	}
	return 1
}

// encodeGSM7 returns the unpacked septets of a text, one an octet; ok false: some character is not in the alphabet.
func encodeGSM7(text string) (out []byte, ok bool) {
	out = make([]byte, 0, len(text))
	for _, r := range text {
		s, ok := septets[r]
		if !ok {
			return nil, false
		}
		if s > 0x7F {
			out = append(out, esc)
		}
		out = append(out, byte(s))
	}
	return out, true
}

// decodeGSM7 reads unpacked septets. It never fails: an escape to a place that the extension table leaves empty shows the character of the
// main table there, an escape without anything to escape a space (3GPP TS 23.038 §6.2.1.1), and an octet that is no septet U+FFFD.
func decodeGSM7(in []byte) string {
	var b strings.Builder
	b.Grow(len(in))
	escaped := false
	for i, s := range in {
		switch {
		case s > 0x7F:
			if escaped {
				b.WriteRune(' ')
			}
			b.WriteRune('\uFFFD')
			escaped = false
		case escaped && extension[s] != 0:
			b.WriteRune(extension[s])
			escaped = false
		case s == esc && i+1 < len(in):
			escaped = true
		default:
			b.WriteRune(alphabet[s])
			escaped = false
		}
	}
	return b.String()
}

// Pack puts unpacked septets into octets, after fill bits of padding: 1 behind the user data header of a concatenated segment,
// 0 without a header (3GPP TS 23.038 §6.1.2.1, TS 23.040 §9.2.3.24).
func Pack(septets []byte, fill int) []byte {
	out := make([]byte, (len(septets)*7+fill+7)/8)
	for i, s := range septets {
		bit := i*7 + fill
		v := uint16(s&0x7F) << (bit % 8)
		out[bit/8] |= byte(v)
		if v > 0xFF {
			out[bit/8+1] |= byte(v >> 8)
		}
	}
	return out
}

// Unpack takes up to n septets out of octets, after fill bits of padding: n comes from the user data length, since eight septets of which
// the last is @ and seven septets fill the same octets.
func Unpack(octets []byte, n, fill int) []byte {
	n = max(0, min(n, (len(octets)*8-fill)/7))
	out := make([]byte, n)
	for i := range out {
		bit := i*7 + fill
		v := uint16(octets[bit/8])
		if bit/8+1 < len(octets) {
			v |= uint16(octets[bit/8+1]) << 8
		}
		out[i] = byte(v>>(bit%8)) & 0x7F
	}
	return out
}
