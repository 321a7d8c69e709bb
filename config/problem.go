package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	Key     string // such as push.ack_timeout; empty when the text is no YAML
	Message string // what is wrong and what is allowed
	Source  string // the file, or the variable of the environment; empty: a Config made by a program
	Line    int    // in the file, from 1; 0: the file does not name the key
	Column  int
	Excerpt string // the line
}

// Problems is the error of Load and Check: all that is wrong, in the order of the file.
type Problems []Problem

func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// String is the problem as a compiler would tell it: place, key, message, and the line with a caret.
func (p Problem) String() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Line > 0 {
		number := fmt.Sprintf("%5d", p.Line)
		fmt.Fprintf(&b, "\n%s | %s\n%s | %s^", number, p.Excerpt, strings.Repeat(" ", len(number)), indent(p.Excerpt, p.Column))
	}
	return b.String()
}

// indent returns blanks as wide as what stands before the column; a tab stays one.
func indent(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		switch {
		case i >= column-1:
			return b.String()
		case r == '\t':
			b.WriteByte('\t')
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// of reports whether one of the problems is with a key, or with the file of a secret.
func (ps Problems) of(key string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Key == key || p.Key == key+fileSuffix })
}

func (ps Problems) sorted() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	return ps
}
