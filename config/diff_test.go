package config_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/seed-7a41469f/godwit/config"
)

func TestDifferences(t *testing.T) {
	a, b := config.Default(), config.Default()
	if got := config.Differences(a, b); got != nil {
		t.Errorf("equal ones differ in %v", got)
	}
	b.Push.AckTimeout, b.SMS.Budget.Day, b.SMS.Gateways[0].Name, b.SMS.Deny, b.Auth.JWT.Audience = 1, config.Money{Micros: 1, Currency: "EUR"}, "other", nil, "godwit"
	want := []string{"auth.jwt.audience", "push.ack_timeout", "sms.budget.day", "sms.deny", "sms.gateways"}
	if got := config.Differences(a, b); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c := a.With(b, "push", "sms.budget", "sms.den", "sms.gateways")
	if got := config.Differences(b, c); !slices.Equal(got, []string{"auth.jwt.audience", "sms.deny"}) {
		t.Errorf("what was not taken over is %v", got)
	}
	if !reflect.DeepEqual(a, config.Default()) {
		t.Error("With changed what it was called on")
	}
}
