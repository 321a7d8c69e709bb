package clienttest_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/clienttest"
	"github.com/seed-7a41469f/godwit/config"
)

// TestGeneratedClient makes a client of /openapi.json, as somebody who knows nothing else of us would: the description is valid OpenAPI 3.1, types are
// generated of it, a program on them compiles strictly, and what it does works.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	needNode(t)
	const adminToken = "the operator's 5ecret"
	s := clienttest.NewServer(t, func(c *config.Config) {
		push(nil)(c)
		c.Admin.Token = adminToken
	})
	spec := get(t, http.DefaultTransport.(*http.Transport).Clone(), s.URL())
	socket := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(s.Addresses().Admin, "unix:"))
	}}
	if operators := get(t, socket, "http://godwit"); operators != spec {
		t.Error("the operator's door has another description")
	}

	dir := t.TempDir()
	modules, err := filepath.Abs(filepath.Join(nodeDir, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(nodeDir, "client.ts"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	description := filepath.Join(dir, "openapi.json")
	for name, text := range map[string]string{description: spec, filepath.Join(dir, "client.ts"): string(source), filepath.Join(dir, "package.json"): `{"type":"module"}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if version := strings.TrimSpace(node(t, "validate.mjs", description)); version != "3.1" {
		t.Errorf("the description is of version %s", version)
	}
	node(t, "node_modules/openapi-typescript/bin/cli.js", description, "-o", filepath.Join(dir, "godwit.ts"))
	node(t, "node_modules/typescript/bin/tsc", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext",
		filepath.Join(dir, "client.ts"))

	b := s.Connect(clienttest.Login{User: bo})
	s.Hide("typed and pushed")
	cmd := exec.CommandContext(t.Context(), "node", "client.js")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BASE="+s.URL(), "TOKEN="+s.Token(alerts), "ADMIN_TOKEN="+adminToken, "PUSHED_TO="+string(bo), "SMS_TO="+string(cleo))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("client.js: %v: %s", err, out)
	}
	got := b.Next("in")
	want(t, got, alerts, "typed and pushed")
	var r struct {
		ID, State, Way, Reason, Text, Added, Version, Code string
		Segments, Steps, Status                            int
		Mine, Theirs                                       []string
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r.ID != got.ID || r.State != "accepted" || r.Way != "sms" || r.Reason != "not_registered" || r.Segments != 1 || r.Text != "typed and pushed" || r.Steps == 0 ||
		len(r.Mine) != 1 || r.Mine[0] != got.ID || len(r.Theirs) != 1 || r.Added != "typed-1" || r.Version == "" || r.Code != "not_found" || r.Status != 404 {
		t.Errorf("%s; the message has the id %s", out, got.ID)
	}
}

// get returns the description that a door serves.
func get(t *testing.T, by *http.Transport, base string) string {
	t.Helper()
	defer by.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", base+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := by.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s/openapi.json: %s, %v: %s", base, resp.Status, err, text)
	}
	return string(text)
}
