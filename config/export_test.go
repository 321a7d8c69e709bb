package config

import "reflect"

// Later and AllKeys let tests see that no key is both known and announced for later.
var Later = later

func AllKeys() []string { return allKeys(reflect.TypeFor[Config](), "") }
