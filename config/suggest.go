package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-7a41469f/godwit/internal/typo"
)

// later are keys of the documented configuration that this version does not have yet.
var later = []string{
	"auth.jwt", "cluster", "contacts", "listen.behind_proxy", "listen.mqtts", "listen.proxy_protocol", "listen.tls",
	"registration.code_ttl", "sms.allow", "sms.budget", "sms.caps", "sms.deny", "sms.price", "sms.reply_quiet", "sms.reply_window",
	"sms.routes", "sms.stop_words", "topics",
}

// unknownKey says what somebody who wrote the key should do.
func unknownKey(path string, siblings []string) string {
	if slices.Contains(later, path) {
		return "is not in this version of godwit; leave it out"
	}
	section, key := cutLast(path)
	if near, ok := typo.Nearest(key, siblings); ok {
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
