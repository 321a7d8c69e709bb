package delivery

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed-7a41469f/godwit/contacts"
)

// Errors of ParseTopic.
var (
	ErrNotOurs = errors.New("not a topic for messages: to/, app/ and sms/ are")     // MQTT 5 reason code 0x87
	ErrTopic   = errors.New("not <root>/<address> or <root>/<address>/<key>")       // 0x90
	ErrKey     = errors.New("a key is 1 to 64 of A-Z a-z 0-9 . _ -")                // 0x90
	errNumber  = fmt.Errorf("%w: an SMS goes to a number, not to a name", ErrTopic) //
)

const maxKey = 64

// ParseTopic reads the topic name of a publish: to/<address>, app/<address>, sms/<number>, each with or without /<key>.
func ParseTopic(topic string) (root Root, to contacts.Address, key string, err error) {
	head, rest, ok := strings.Cut(topic, "/")
	switch head {
	case "to":
		root = RootTo
	case "app":
		root = RootApp
	case "sms":
		root = RootSMS
	default:
		return 0, "", "", ErrNotOurs
	}
	if !ok {
		return 0, "", "", ErrTopic
	}
	rest, key, keyed := strings.Cut(rest, "/")
	if to, err = contacts.ParseAddress(rest); err != nil {
		return 0, "", "", fmt.Errorf("%w: %w", ErrTopic, err)
	}
	if keyed {
		if err := CheckKey(key); err != nil {
			return 0, "", "", err
		}
	}
	if _, number := to.Number(); root == RootSMS && !number {
		return 0, "", "", errNumber
	}
	return root, to, key, nil
}

// CheckKey returns ErrKey unless key is 1 to 64 of A-Z a-z 0-9 . _ -
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey {
		return ErrKey
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return ErrKey
		}
	}
	return nil
}
