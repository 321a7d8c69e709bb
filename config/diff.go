package config

import (
	"reflect"
	"slices"
	"strings"
)

// Differences returns the keys that have other values in b than in a, sorted as in the file; lists and tables count as a whole: sms.gateways.
func Differences(a, b Config) (keys []string) {
	others := reflect.ValueOf(b)
	walk(reflect.ValueOf(a), "", func(v reflect.Value, key string, index []int) {
		if !reflect.DeepEqual(v.Interface(), others.FieldByIndex(index).Interface()) {
			keys = append(keys, key)
		}
	}, nil)
	return keys
}

// With returns c with those values of o whose keys, or the sections that they are in, are given.
func (c Config) With(o Config, keys ...string) Config {
	to := reflect.ValueOf(&c).Elem()
	walk(reflect.ValueOf(o), "", func(v reflect.Value, key string, index []int) {
		if slices.ContainsFunc(keys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") }) {
			to.FieldByIndex(index).Set(v)
		}
	}, nil)
	return c
}

// walk visits every value that is no section.
func walk(v reflect.Value, path string, visit func(v reflect.Value, key string, index []int), index []int) {
	for i := range v.NumField() {
		field, key, at := v.Field(i), join(path, keyOf(v.Type().Field(i))), append(slices.Clone(index), i)
		if isSection(field.Type()) {
			walk(field, key, visit, at)
			continue
		}
		visit(field, key, at)
	}
}
