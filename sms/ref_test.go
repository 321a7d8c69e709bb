package sms_test

import (
	"encoding/json"
	"testing"

	"github.com/seed-7a41469f/godwit/sms"
)

func TestRefAsText(t *testing.T) {
	in := sms.Ref{0: 0x01, 15: 0xAF}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `"010000000000000000000000000000af"` {
		t.Fatalf("got %s, %v", text, err)
	}
	var out sms.Ref
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("got %v, %v", out, err)
	}
	for _, bad := range []string{`""`, `"01"`, `"0100000000000000000000000000000g"`, `"010000000000000000000000000000af0"`, `"010000000000000000000000000000af00"`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil || out != in {
			t.Errorf("%s is read as %v", bad, out)
		}
	}
}
