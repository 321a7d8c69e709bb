package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"
)

// object prints v as one line of JSON.
func (a *app) object(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table prints rows: with headings and in columns on a terminal, separated by tabs otherwise.
func (a *app) table(headings []string, rows [][]string) error {
	if !a.terminal() {
		for _, row := range rows {
			if _, err := fmt.Fprintln(a.stdout, strings.Join(row, "\t")); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(headings, "\t")))
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// printable is a text that somebody else wrote, safe for a terminal and in one line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// list prints things in their order: with --json one object a line, else as rows of a table.
func list[T any](a *app, columns []string, all []T, row func(T) []string) error {
	rows := make([][]string, 0, len(all))
	for _, one := range all {
		if !a.json {
			rows = append(rows, row(one))
		} else if err := a.object(one); err != nil {
			return err
		}
	}
	if a.json {
		return nil
	}
	return a.table(columns, rows)
}
