package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-7a41469f/godwit/internal/typo"
)

// unknownKey says what somebody who wrote the key into the section v, which has the keys given, should do.
func unknownKey(path string, v reflect.Value, keys []string) string {
	section, key := cutLast(path)
	if field, _ := fieldOf(v, key); field.IsValid() { // only of a gateway
		return notOfKind(v.FieldByName("Kind").String(), keys)
	}
	if near, ok := typo.Nearest(key, withFiles(v.Type(), keys)); ok {
		return fmt.Sprintf("is not a key; did you mean %s?", near)
	}
	for _, known := range allKeys(reflect.TypeFor[Config](), "") {
		if _, name := cutLast(known); name == key {
			return fmt.Sprintf("is not a key; did you mean %s?", known)
		}
	}
	if section == "" {
		return "is not a key; there are " + strings.Join(keys, ", ")
	}
	return fmt.Sprintf("is not a key; %s has %s", section, strings.Join(keys, ", "))
}

func notOfKind(kind string, keys []string) string {
	return fmt.Sprintf("is not a key of kind %s; there are %s", kind, strings.Join(keys, ", "))
}

// withFiles adds the _file variants of those keys of a struct that are secrets.
func withFiles(t reflect.Type, keys []string) []string {
	all := slices.Clone(keys)
	for i := range t.NumField() {
		if f := t.Field(i); f.Type == secretType && slices.Contains(keys, keyOf(f)) {
			all = append(all, keyOf(f)+fileSuffix)
		}
	}
	return all
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
		switch item := f.Type; {
		case isSection(item):
			keys = append(keys, allKeys(item, path)...)
		case item.Kind() == reflect.Slice && isSection(item.Elem()):
			keys = append(keys, allKeys(item.Elem(), path+"[]")...)
		}
	}
	return keys
}

// secretKeys lists the keys of all secrets.
func secretKeys() (keys []string) {
	all := allKeys(reflect.TypeFor[Config](), "")
	for _, path := range all {
		if _, key := cutLast(path); slices.Contains(all, path+fileSuffix) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}
