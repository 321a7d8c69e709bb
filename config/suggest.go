package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// later are keys of the documented configuration that this version does not have yet.
var later = []string{
	"auth.jwt", "cluster", "contacts", "limits.caps", "listen.behind_proxy", "listen.mqtts", "listen.proxy_protocol", "listen.tls",
	"registration.code_ttl", "sms.allow", "sms.budget", "sms.caps", "sms.deny", "sms.price", "sms.reply_quiet", "sms.reply_window",
	"sms.routes", "sms.stop_words", "topics",
}

// unknownKey says what somebody who wrote the key should do.
func unknownKey(path string, siblings []string) string {
	if slices.Contains(later, path) {
		return "is not in this version of godwit; leave it out"
	}
	section, key := cutLast(path)
	if near, ok := nearest(key, siblings); ok {
		return fmt.Sprintf("is not a key; did you mean %s?", near)
	}
	for _, known := range allKeys(reflect.TypeFor[Config](), "") {
		if _, name := cutLast(known); name == key {
			return fmt.Sprintf("is not a key; did you mean %s?", known)
		}
	}
	if section == "" {
		return "is not a key; there are " + strings.Join(siblings, ", ")
	}
	return fmt.Sprintf("is not a key; %s has %s", section, strings.Join(siblings, ", "))
}

func cutLast(path string) (section, key string) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// nearest returns the candidate that is a typing error away from s.
func nearest(s string, candidates []string) (string, bool) {
	best, at := "", 1+max(1, len(s)/3)
	for _, c := range candidates {
		if d := distance(strings.ToLower(s), c); d < at {
			best, at = c, d
		}
	}
	return best, best != ""
}

// distance is Damerau's: insertions, deletions, substitutions and swaps of neighbours.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			differs := 1
			if a[i-1] == b[j-1] {
				differs = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differs)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// allKeys lists the paths of all keys below a struct.
func allKeys(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := join(prefix, keyOf(f))
		keys = append(keys, path)
		if f.Type == secretType {
			keys = append(keys, path+fileSuffix)
		}
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, allKeys(f.Type, path)...)
		}
	}
	return keys
}
