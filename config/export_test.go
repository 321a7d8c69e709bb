package config

import "reflect"

// AllKeys lists the paths of all keys, for tests.
func AllKeys() []string { return allKeys(reflect.TypeFor[Config](), "") }
