package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/seed-7a41469f/godwit/sms"
)

// show writes mt in one piece.
func (g *Gateway) show(mt sms.MT, ids map[int]string, at time.Time) error {
	form := frame
	if g.config.JSON {
		form = line
	}
	n, err := g.config.Out.Write(form(mt, ids, at))
	switch {
	case err == nil:
		return nil
	case n == 0:
		return sms.Fail(sms.NotSent, "", "cannot write it: "+err.Error())
	}
	return sms.Fail(sms.Unknown, "", "written in part: "+err.Error())
}

// frame is the form for people.
func frame(mt sms.MT, ids map[int]string, at time.Time) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "┌─ SMS to +%s", mt.To)
	if mt.From != "" {
		fmt.Fprintf(&b, " from %s", originator(mt.From))
	}
	fmt.Fprintf(&b, " ── %s ── %s\n", size(mt), at.Format("15:04:05"))
	for text := range strings.SplitSeq(mt.Text, "\n") {
		fmt.Fprintf(&b, "│ %s\n", strings.Map(visible, strings.TrimSuffix(text, "\r")))
	}
	b.WriteString("└─ id")
	for _, s := range mt.Segments {
		b.WriteString(" " + ids[s.Number])
	}
	b.WriteString("\n")
	return []byte(b.String())
}

// size says how many segments are shown: "1 segment, GSM 7", or "2 of 3 segments, UCS-2" when an earlier attempt sent the rest.
func size(mt sms.MT) string {
	word := "segments"
	if mt.Count == 1 {
		word = "segment"
	}
	count := fmt.Sprint(mt.Count)
	if len(mt.Segments) != mt.Count {
		count = fmt.Sprintf("%d of %d", len(mt.Segments), mt.Count)
	}
	return fmt.Sprintf("%s %s, %s", count, word, mt.Segments[0].Coding)
}

// originator puts a + before a number.
func originator(from string) string {
	if strings.Trim(from, "0123456789") == "" {
		return "+" + from
	}
	return strings.Map(visible, from)
}

// visible keeps what a text says from steering the terminal.
func visible(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsControl(r):
		return unicode.ReplacementChar
	}
	return r
}

// line is the form for programs: one object a line.
func line(mt sms.MT, ids map[int]string, at time.Time) []byte {
	type segment struct {
		Number int    `json:"number"`
		ID     string `json:"id"`
	}
	segments := make([]segment, len(mt.Segments))
	for i, s := range mt.Segments {
		segments[i] = segment{s.Number, ids[s.Number]}
	}
	out, _ := json.Marshal(struct { // strings and numbers: it cannot fail
		From     string    `json:"from,omitempty"`
		To       string    `json:"to"`
		Text     string    `json:"text"`
		Coding   string    `json:"coding"`
		Segments []segment `json:"segments"`
		Count    int       `json:"count"`
		At       string    `json:"at"`
	}{mt.From, string(mt.To), mt.Text, mt.Segments[0].Coding.String(), segments, mt.Count, at.Format(time.RFC3339Nano)})
	return append(out, '\n')
}
