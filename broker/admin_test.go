package broker_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/broker"
	"github.com/seed-7a41469f/godwit/config"
	"github.com/seed-7a41469f/godwit/picture"
)

func TestUsers(t *testing.T) {
	cfg := testConfig(t)
	cfg.Auth.Mode = config.ModeToken
	h := start(t, cfg)
	users := "/v1/admin/users"

	var added api.Credential
	if status := h.ask("POST", users, `{"address":"+4917604069001","device":"first"}`, &added); status != 201 || added.Address != "4917604069001" || added.Token == "" || added.ID == "" {
		t.Fatalf("add: %d %+v", status, added)
	}
	if status := tryLogin(t, h, "4917604069001", added.Token); status != 0 {
		t.Errorf("its token does not log in: 0x%02X", status)
	}
	var seen api.User
	if status := h.ask("GET", users+"/4917604069001", "", &seen); status != 200 || seen.LastSeen == "" || seen.LastSeen < seen.Since { // the hour that is kept began earlier
		t.Errorf("seen: %d %+v", status, seen)
	}
	var p api.Problem
	if status := h.ask("POST", users, `{"address":"4917604069001"}`, &p); status != 409 || p.Code != api.CodeExists || p.Status != 409 || strings.Contains(p.Detail, "4917604069001") {
		t.Errorf("add again: %d %+v", status, p)
	}
	var second api.Credential
	if status := h.ask("POST", users+"/4917604069001/tokens", `{"device":"tablet"}`, &second); status != 201 || second.Token == added.Token {
		t.Errorf("token: %d %+v", status, second)
	}
	var u api.User
	if status := h.ask("GET", users+"/4917604069001", "", &u); status != 200 || !u.Registered || len(u.Tokens) != 2 || u.Tokens[1].Device != "tablet" || u.Tokens[1].ID != second.ID {
		t.Errorf("show: %d %+v", status, u)
	}
	if status := h.ask("DELETE", users+"/4917604069001/tokens/"+added.ID, "", nil); status != 204 {
		t.Errorf("revoke: %d", status)
	}
	if status := tryLogin(t, h, "4917604069001", added.Token); status != 0x87 {
		t.Errorf("a revoked token logs in: 0x%02X", status)
	}
	if status := h.ask("DELETE", users+"/4917604069001/tokens/nosuch", "", &p); status != 404 {
		t.Errorf("revoke an unknown one: %d %+v", status, p)
	}
	if status := h.ask("DELETE", users+"/4917604069001/tokens", "", nil); status != 204 {
		t.Errorf("revoke all: %d", status)
	}
	if status := tryLogin(t, h, "4917604069001", second.Token); status != 0x87 {
		t.Errorf("after all are revoked the second logs in: 0x%02X", status)
	}
	if status := h.ask("DELETE", users+"/4917604069001", "", nil); status != 204 {
		t.Errorf("remove: %d", status)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if status := h.ask(method, users+"/4917604069001", "", &p); status != 404 || p.Code != api.CodeNotFound {
			t.Errorf("%s after remove: %d %+v", method, status, p)
		}
	}
}

// tryLogin returns the reason code of the CONNACK.
func tryLogin(t *testing.T, h *host, user, token string) byte {
	t.Helper()
	conn, err := net.Dial("tcp", h.where.MQTT)
	if err != nil {
		t.Fatal(err)
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn})
	ack, err := c.Connect(t.Context(), &paho.Connect{ClientID: "try", CleanStart: true, UsernameFlag: true, Username: user, PasswordFlag: true, Password: []byte(token)})
	if ack == nil {
		t.Fatal(err)
	}
	if err == nil {
		_ = c.Disconnect(&paho.Disconnect{})
		<-c.Done()
	}
	return ack.ReasonCode
}

func TestUserPages(t *testing.T) {
	h := start(t, testConfig(t))
	for _, name := range []string{"c", "a", "e", "b", "d"} {
		if status := h.ask("POST", "/v1/admin/users", `{"address":"`+name+`"}`, nil); status != 201 {
			t.Fatal(status)
		}
	}
	var all []string
	for after, pages := "", 0; ; pages++ {
		var page api.Users
		if status := h.ask("GET", "/v1/admin/users?limit=2&after="+after, "", &page); status != 200 || len(page.Users) > 2 || pages > 3 {
			t.Fatalf("%d %+v", status, page)
		}
		for _, u := range page.Users {
			all = append(all, u.Address)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if got := strings.Join(all, ""); got != "abcde" {
		t.Errorf("got %s", got)
	}
}

func TestMessages(t *testing.T) {
	h := start(t, testConfig(t))
	h.ask("POST", "/v1/admin/users", `{"address":"boiler"}`, nil)
	ann, anns := h.phone("ann")
	_, bos := h.phone("bo")
	pushed := send(t, ann, "to/bo/k1", "hello")
	next(t, bos, "/in/")
	receipt(t, anns, pushed, "delivered")
	waits := send(t, ann, "to/boiler", "hello")
	failed := send(t, ann, "to/nobody", "hello")
	receipt(t, anns, failed, "failed")

	ids := func(query string) (found []string) {
		t.Helper()
		var page api.Messages
		if status := h.ask("GET", "/v1/admin/messages"+query, "", &page); status != 200 {
			t.Fatalf("%s: %d", query, status)
		}
		for _, m := range page.Messages {
			found = append(found, m.ID)
		}
		return found
	}
	for query, want := range map[string][]string{
		"": {failed, waits, pushed}, "?state=delivered": {pushed}, "?to=boiler": {waits}, "?from=ann&state=failed": {failed}, "?from=bo": nil, "?limit=1": {failed},
		"?before=" + waits: {pushed},
	} {
		if got := ids(query); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}

	var p picture.Path
	if status := h.ask("GET", "/v1/admin/messages/"+pushed, "", &p); status != 200 || p.Message.Key != "k1" || p.Message.State != "delivered" || p.Message.Via != "push" || len(p.Trail) == 0 {
		t.Errorf("explain: %d %+v", status, p)
	}
	var m picture.Message
	if status := h.ask("POST", "/v1/admin/messages/"+waits+"/cancel", "", &m); status != 200 || m.State != "failed" || m.Reason != "cancelled" {
		t.Errorf("cancel: %d %+v", status, m)
	}
	receipt(t, anns, waits, "failed")
	var late api.Problem
	if status := h.ask("POST", "/v1/admin/messages/"+pushed+"/cancel", "", &late); status != 409 || late.Code != api.CodeTooLate {
		t.Errorf("cancel what was delivered: %d %+v", status, late)
	}
	if status := h.ask("POST", "/v1/admin/messages/"+waits+"/retry", "", &m); status != 200 || m.State != "accepted" || m.ID != waits {
		t.Errorf("retry: %d %+v", status, m)
	}
}

func TestBadRequests(t *testing.T) {
	h := start(t, testConfig(t))
	const unknown = "01KASVW5G00ZT4Q8C3M9E7XB5R"
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"no JSON", "POST", "/v1/admin/users", "address=x", 400, api.CodeBadRequest},
		{"unknown field", "POST", "/v1/admin/users", `{"address":"x","adress":"y"}`, 400, api.CodeBadRequest},
		{"two objects", "POST", "/v1/admin/users", `{"address":"x"}{"address":"y"}`, 400, api.CodeBadRequest},
		{"no address", "POST", "/v1/admin/users", "", 400, api.CodeBadRequest},
		{"too short a number", "POST", "/v1/admin/users", `{"address":"12345"}`, 400, api.CodeBadRequest},
		{"full-width digits", "POST", "/v1/admin/users", `{"address":"４９１７６０４０６９００１"}`, 400, api.CodeBadRequest},
		{"too large", "POST", "/v1/admin/users", `{"address":"` + strings.Repeat("x", 100_000) + `"}`, 413, api.CodeTooLarge},
		{"long label", "POST", "/v1/admin/users", `{"address":"x","device":"` + strings.Repeat("x", 101) + `"}`, 400, api.CodeBadRequest},
		{"malformed address", "GET", "/v1/admin/users/UPPER", "", 400, api.CodeBadRequest},
		{"path in an address", "GET", "/v1/admin/users/..%2f..%2fetc", "", 400, api.CodeBadRequest},
		{"unknown user", "POST", "/v1/admin/users/x/tokens", "{}", 404, api.CodeNotFound},
		{"limit", "GET", "/v1/admin/users?limit=0", "", 400, api.CodeBadRequest},
		{"limit too large", "GET", "/v1/admin/messages?limit=1001", "", 400, api.CodeBadRequest},
		{"misspelt filter", "GET", "/v1/admin/messages?sate=failed", "", 400, api.CodeBadRequest},
		{"unknown state", "GET", "/v1/admin/messages?state=done", "", 400, api.CodeBadRequest},
		{"a state that is in memory only", "GET", "/v1/admin/messages?state=pushing", "", 400, api.CodeBadRequest},
		{"malformed address in a filter", "GET", "/v1/admin/messages?to=%2b0", "", 400, api.CodeBadRequest},
		{"malformed before", "GET", "/v1/admin/messages?before=x", "", 400, api.CodeBadRequest},
		{"malformed id", "GET", "/v1/admin/messages/x", "", 400, api.CodeBadRequest},
		{"unknown id", "GET", "/v1/admin/messages/" + unknown, "", 404, api.CodeNotFound},
		{"order for an unknown id", "POST", "/v1/admin/messages/" + unknown + "/retry", "", 404, api.CodeNotFound},
		{"order for a malformed id", "POST", "/v1/admin/messages/x/cancel", "", 400, api.CodeBadRequest},
		{"unknown order", "POST", "/v1/admin/messages/" + unknown + "/explode", "", 404, api.CodeNotFound},
		{"unknown route", "GET", "/v1/admin", "", 404, api.CodeNotFound},
		{"filter of gateways", "GET", "/v1/admin/gateways?name=console", "", 400, api.CodeBadRequest},
		{"pause nobody", "POST", "/v1/admin/gateways/nobody/pause", "", 404, api.CodeNotFound},
		{"pause by a path", "POST", "/v1/admin/gateways/..%2fconsole/pause", "", 404, api.CodeNotFound},
		{"drain perhaps", "POST", "/v1/admin/gateways/console/pause?drain=perhaps", "", 400, api.CodeBadRequest},
		{"drain for a day", "POST", "/v1/admin/gateways/console/pause?drain=true&wait=24h", "", 400, api.CodeBadRequest},
		{"drain for no time", "POST", "/v1/admin/gateways/console/pause?drain=true&wait=-1s", "", 400, api.CodeBadRequest},
		{"misspelt drain", "POST", "/v1/admin/gateways/console/pause?darin=true", "", 400, api.CodeBadRequest},
		{"resume nobody", "POST", "/v1/admin/gateways/nobody/resume", "", 404, api.CodeNotFound},
		{"resume with a parameter", "POST", "/v1/admin/gateways/console/resume?now=1", "", 400, api.CodeBadRequest},
		{"pause by GET", "GET", "/v1/admin/gateways/console/pause", "", 405, api.CodeMethod},
		{"test nobody", "POST", "/v1/admin/gateways/nobody/test", `{"number":"4917604069001"}`, 404, api.CodeNotFound},
		{"test without a number", "POST", "/v1/admin/gateways/console/test", "{}", 400, api.CodeBadRequest},
		{"test to a name", "POST", "/v1/admin/gateways/console/test", `{"number":"ann"}`, 400, api.CodeBadRequest},
		{"test with a national number and no region", "POST", "/v1/admin/gateways/console/test", `{"number":"0176 04069001"}`, 400, api.CodeBadRequest},
		{"test with a novel", "POST", "/v1/admin/gateways/console/test", `{"number":"4917604069001","text":"` + strings.Repeat("x", 1001) + `"}`, 400, api.CodeBadRequest},
		{"wire of nobody", "POST", "/v1/admin/gateways/nobody/wire", `{"on":true}`, 404, api.CodeNotFound},
		{"wire neither on nor off", "POST", "/v1/admin/gateways/console/wire", "{}", 400, api.CodeBadRequest},
		{"wire of a word", "POST", "/v1/admin/gateways/console/wire", `{"on":"yes"}`, 400, api.CodeBadRequest},
		{"opt out nobody", "POST", "/v1/admin/optouts", "{}", 400, api.CodeBadRequest},
		{"opt out a name", "POST", "/v1/admin/optouts", `{"number":"ann"}`, 400, api.CodeBadRequest},
		{"opt out with a novel", "POST", "/v1/admin/optouts", `{"number":"4917604069001","note":"` + strings.Repeat("x", 101) + `"}`, 400, api.CodeBadRequest},
		{"let in whom nobody shut out", "DELETE", "/v1/admin/optouts/4917604069001", "", 404, api.CodeNotFound},
		{"let in a name", "DELETE", "/v1/admin/optouts/ann", "", 400, api.CodeBadRequest},
		{"filter of opt-outs", "GET", "/v1/admin/optouts?number=1", "", 400, api.CodeBadRequest},
		{"limit of opt-outs", "GET", "/v1/admin/optouts?limit=many", "", 400, api.CodeBadRequest},
		{"unmatched before a word", "GET", "/v1/admin/unmatched?before=now", "", 400, api.CodeBadRequest},
		{"filter of unmatched", "GET", "/v1/admin/unmatched?to=ann", "", 400, api.CodeBadRequest},
		{"assign a malformed id", "POST", "/v1/admin/unmatched/x/assign", `{"address":"ann"}`, 400, api.CodeBadRequest},
		{"assign to nobody", "POST", "/v1/admin/unmatched/" + unknown + "/assign", "{}", 400, api.CodeBadRequest},
		{"assign to a user who is none", "POST", "/v1/admin/unmatched/" + unknown + "/assign", `{"address":"nobody"}`, 404, api.CodeNotFound},
		{"money with a parameter", "GET", "/v1/admin/money?day=1", "", 400, api.CodeBadRequest},
		{"wrong method", "PUT", "/v1/admin/users", "", 405, api.CodeMethod},
	} {
		var p api.Problem
		status := h.ask(c.method, c.path, c.body, &p)
		if status != c.status || p.Code != c.code || p.Status != c.status || p.Title == "" || p.Detail == "" {
			t.Errorf("%s: %d %+v, want %d %s", c.name, status, p, c.status, c.code)
		}
	}
	var users api.Users
	if h.ask("GET", "/v1/admin/users", "", &users); len(users.Users) != 0 {
		t.Errorf("a bad request added %+v", users.Users)
	}
}

func TestGateways(t *testing.T) {
	h := start(t, testConfig(t))
	var list api.Gateways
	if status := h.ask("GET", "/v1/admin/gateways", "", &list); status != 200 || len(list.Gateways) != 1 || list.Gateways[0].Name != "console" || list.Gateways[0].Window < 1 {
		t.Errorf("%d %+v", status, list)
	}
}

func TestAdminOverAnAddressNeedsTheToken(t *testing.T) {
	cfg := testConfig(t)
	cfg.Listen.Admin, cfg.Admin.Token = "127.0.0.1:0", "secret"
	h := start(t, cfg)
	for _, c := range []struct {
		header, host string
		status       int
	}{
		{"", "", 401}, {"Bearer wrong", "", 401}, {"Basic c2VjcmV0", "", 401}, {"Bearer secret", "", 200}, {"Bearer secret", "evil.example", 421},
	} {
		for _, path := range []string{"/v1/admin/users", "/metrics", "/readyz"} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", h.where.Admin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			if c.header != "" {
				req.Header.Set("Authorization", c.header)
			}
			if status := do(t, http.DefaultClient, req, nil); status != c.status {
				t.Errorf("%s, %q, host %q: %d, want %d", path, c.header, c.host, status, c.status)
			}
		}
	}
}

func TestSocketIsOurs(t *testing.T) {
	h := start(t, testConfig(t))
	info, err := os.Stat(strings.TrimPrefix(h.where.Admin, "unix:"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&os.ModeSocket == 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestSocketInTheWay(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")

	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	stale.Close()
	l, err := broker.ListenUnix(path)
	if err != nil {
		t.Fatalf("what a dead process left is not replaced: %v", err)
	}
	if _, err := broker.ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another broker answers") {
		t.Errorf("a living one is replaced: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the living one is gone: %v", err)
	} else {
		c.Close()
	}
	l.Close()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.ListenUnix(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file is replaced: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is gone: %v", err)
	}
	if _, err := broker.ListenUnix(filepath.Join(dir, "no", "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := broker.ListenUnix(filepath.Join(dir, strings.Repeat("x", 200))); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}
