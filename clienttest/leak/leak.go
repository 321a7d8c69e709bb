// Package leak finds in the logs of tests what no log may have: phone numbers, payloads and secrets.
//
// Find looks for what one test knows of. Keep saves a log for .ci/logs, which looks through those of a whole run for what no test thought of:
// everything that looks like a number of the tests.
package leak

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Variable names the environment variable that says where Keep saves logs.
const Variable = "GODWIT_TEST_LOGS"

const (
	shortest = 8  // octets of a payload that is looked for: shorter ones are words of everybody's
	head     = 30 // octets of a longer one: a log that cuts it has it all the same
	tail     = 8  // digits of a number: who has the last ones has the number, with or without its country's
)

// Find returns what a log has of numbers and texts, masked. Numbers are found in any grouping and without their country code, texts as they are and in
// the forms that loggers give them: quoted, escaped, in hexadecimal, base64, or as a list of octets.
func Find(log string, numbers, texts []string) (found []string) {
	digits := squeeze(log)
	for _, n := range numbers {
		if n = strings.TrimPrefix(n, "+"); len(n) >= tail && strings.Contains(digits, n[len(n)-tail:]) {
			found = append(found, fmt.Sprintf("the number …%s", n[len(n)-2:]))
		}
	}
	for _, text := range texts {
		if len(text) < shortest {
			continue
		}
		for form, written := range forms(text[:min(len(text), head)]) {
			if strings.Contains(log, written) {
				found = append(found, fmt.Sprintf("%.4s… (%d octets), %s", text, len(text), form))
				break
			}
		}
	}
	return found
}

// squeeze takes out what people write between the digits of a number.
func squeeze(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	digit := func(i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }
	for i := 0; i < len(s); {
		b.WriteByte(s[i])
		i++
		if digit(i-1) && !digit(i) {
			j := i
			for j < len(s) && strings.IndexByte(" -./()+_", s[j]) >= 0 {
				j++
			}
			if digit(j) {
				i = j
			}
		}
	}
	return b.String()
}

func forms(text string) map[string]string {
	quoted := strconv.Quote(text)
	escaped, err := json.Marshal(text)
	if err != nil {
		escaped = []byte(quoted)
	}
	octets := fmt.Sprint([]byte(text))
	encoded := base64.StdEncoding.EncodeToString([]byte(text[:len(text)/3*3]))
	return map[string]string{
		"as it is": text, "quoted": quoted[1 : len(quoted)-1], "escaped": string(escaped[1 : len(escaped)-1]),
		"in hexadecimal": hex.EncodeToString([]byte(text)), "in base64": encoded, "as octets": octets[1 : len(octets)-1],
	}
}

// Keep saves the log of a test in the directory that the environment variable GODWIT_TEST_LOGS names; without one it does nothing.
func Keep(t testing.TB, log string) {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" || log == "" {
		return
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, t.Name())
	f, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		t.Errorf("%s: %v", Variable, err)
		return
	}
	if _, err := f.WriteString(log); err != nil {
		t.Errorf("%s: %v", Variable, err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("%s: %v", Variable, err)
	}
}
