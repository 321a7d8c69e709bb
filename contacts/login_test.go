package contacts_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/contacts"
)

func TestLogin(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	add(t, d, anna, ben, "boiler")
	token, id := issue(t, d, anna)
	second, _ := issue(t, d, anna)
	boilers, boilerID := issue(t, d, "boiler")
	revoked, revokedID := issue(t, d, ben)
	if err := d.RevokeToken(ctx, ben, revokedID); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^gw_[A-Za-z0-9_-]{43}$`).MatchString(token) {
		t.Fatalf("a token looks like %q", token)
	}
	before := table.calls()
	for _, c := range []struct {
		name, user, password string
		want                 contacts.Login
		err                  error
	}{
		{"own token", string(anna), token, contacts.Login{Address: anna, Token: id}, nil},
		{"leading plus", "+" + string(anna), token, contacts.Login{Address: anna, Token: id}, nil},
		{"token alone", "", token, contacts.Login{Address: anna, Token: id}, nil},
		{"name", "boiler", boilers, contacts.Login{Address: "boiler", Token: boilerID}, nil},
		{"token of another", string(ben), token, contacts.Login{}, contacts.ErrLogin},
		{"nobody's name", "nobody", token, contacts.Login{}, contacts.ErrLogin},
		{"two pluses", "++" + string(anna), token, contacts.Login{}, contacts.ErrLogin},
		{"full-width user", "４９１５１１２３４５６７８", token, contacts.Login{}, contacts.ErrLogin},
		{"no password", string(anna), "", contacts.Login{}, contacts.ErrLogin},
		{"nothing", "", "", contacts.Login{}, contacts.ErrLogin},
		{"id for a token", string(anna), id, contacts.Login{}, contacts.ErrLogin},
		{"unknown token", string(anna), "gw_" + strings.Repeat("A", 43), contacts.Login{}, contacts.ErrLogin},
		{"without gw_", string(anna), strings.TrimPrefix(token, "gw_"), contacts.Login{}, contacts.ErrLogin},
		{"too short", string(anna), token[:len(token)-1], contacts.Login{}, contacts.ErrLogin},
		{"too long", string(anna), token + "A", contacts.Login{}, contacts.ErrLogin},
		{"other spelling of the same bits", string(anna), token[:45] + respelled(token[45]), contacts.Login{}, contacts.ErrLogin},
		{"newline", string(anna), token[:45] + "\n", contacts.Login{}, contacts.ErrLogin},
		{"revoked", string(ben), revoked, contacts.Login{}, contacts.ErrRevoked},
		{"revoked, alone", "", revoked, contacts.Login{}, contacts.ErrRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := d.Login(ctx, c.user, c.password)
			if l != c.want || !errors.Is(err, c.err) {
				t.Fatalf("got %+v, %v; want %+v, %v", l, err, c.want, c.err)
			}
			if err != nil && c.password != "" && strings.Contains(err.Error(), c.password) {
				t.Fatalf("the error shows the password: %v", err)
			}
		})
	}
	if _, err := d.Login(ctx, "", second); err != nil {
		t.Errorf("the second token: %v", err)
	}
	if table.calls() != before {
		t.Errorf("logins cost %d writes", table.calls()-before)
	}
}

// respelled sets a bit of a token's last character that stands for nothing: 43 characters are 258 bits.
func respelled(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)|1:][:1]
}

// Only the HMAC of a token is stored, and all of it counts.
func TestTokensAreStoredAsHMAC(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{})
	add(t, d, anna)
	token, _ := issue(t, d, anna)
	u, _ := d.User(anna)
	bits, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "gw_"))
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, table.recs["secret/token"].val[1:])
	h.Write(bits)
	if !hmac.Equal(h.Sum(nil), u.Tokens[0].Hash[:]) {
		t.Fatalf("stored %x, want %x", u.Tokens[0].Hash, h.Sum(nil))
	}

	u.Tokens[0].Hash[31] ^= 1 // the id, which is the beginning, is the same
	crashed := table.crash()
	crashed.recs["user/"+string(anna)] = memRecord{contacts.EncodeRecord(&u), 9}
	if _, err := open(t, crashed, contacts.Config{}).Login(ctx, "", token); !errors.Is(err, contacts.ErrLogin) {
		t.Fatalf("half a hash is enough: %v", err)
	}
}

func TestRevocation(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	events := make(chan contacts.Event, 20)
	add(t, d, anna)
	d.Watch(func(e contacts.Event) { events <- e })
	var tokens, ids []string
	for range 3 {
		token, id := issue(t, d, anna)
		tokens, ids = append(tokens, token), append(ids, id)
	}
	login, err := d.Login(ctx, "", tokens[1])
	if err != nil || !d.Valid(login) {
		t.Fatalf("%+v is not valid, %v", login, err)
	}

	if err := d.RevokeToken(ctx, anna, ids[1]); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e != (contacts.Event{Kind: contacts.TokenRevoked, User: anna, Token: ids[1]}) {
		t.Fatalf("told %+v", e)
	}
	if d.Valid(login) {
		t.Fatal("valid after its token was revoked")
	}
	if err := d.RevokeToken(ctx, anna, ids[1]); !errors.Is(err, contacts.ErrNoToken) {
		t.Fatalf("revoked twice: %v", err)
	}
	if err := d.RevokeToken(ctx, anna, tokens[0]); !errors.Is(err, contacts.ErrNoToken) || strings.Contains(err.Error(), tokens[0]) {
		t.Fatalf("a token in place of an id: %v", err)
	}
	if _, err := d.Login(ctx, "", tokens[0]); err != nil {
		t.Fatalf("another token went too: %v", err)
	}
	if err := d.RevokeToken(ctx, anna, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{ids[0], ids[2]} {
		if e := <-events; e.Token != want {
			t.Fatalf("told %+v, want %s", e, want)
		}
	}
	if _, err := d.Login(ctx, "", tokens[2]); !errors.Is(err, contacts.ErrRevoked) {
		t.Fatalf("after all were revoked: %v", err)
	}
	if err := d.RevokeToken(ctx, ben, ""); !errors.Is(err, contacts.ErrNoUser) {
		t.Fatalf("of nobody: %v", err)
	}
	if _, _, err := d.IssueToken(ctx, ben, ""); !errors.Is(err, contacts.ErrNoUser) {
		t.Fatalf("for nobody: %v", err)
	}
}

func TestRemovalRetiresTheOldOwner(t *testing.T) {
	d := open(t, newTable(), contacts.Config{})
	add(t, d, anna)
	token, _ := issue(t, d, anna)
	remember(t, d, anna, phone(anna, "pixel"))
	remember(t, d, anna, phone(anna, "tablet"))
	d.Connected(anna, "pixel")
	login, _ := d.Login(ctx, "", token)
	events := make(chan contacts.Event, 10)
	d.Watch(func(e contacts.Event) { events <- e })

	if err := d.Remove(ctx, anna); err != nil {
		t.Fatal(err)
	}
	for _, want := range []contacts.Event{
		{Kind: contacts.UserRemoved, User: anna},
		{Kind: contacts.DeviceForgotten, User: anna, Device: "pixel"},
		{Kind: contacts.DeviceForgotten, User: anna, Device: "tablet"},
	} {
		if e := <-events; e != want {
			t.Fatalf("told %+v, want %+v", e, want)
		}
	}
	add(t, d, anna) // the number was given to somebody else
	if _, err := d.Login(ctx, string(anna), token); !errors.Is(err, contacts.ErrRevoked) || d.Valid(login) {
		t.Fatalf("the old owner logs in: %v, valid %v", err, d.Valid(login))
	}
	if u, _ := d.User(anna); len(u.Tokens)+len(u.Devices) != 0 {
		t.Fatalf("the new owner has %+v", u)
	}
}

func TestOpenMode(t *testing.T) {
	table := newTable()
	d := open(t, table, contacts.Config{Open: true})
	for range 3 {
		l, err := d.Login(ctx, "+"+string(anna), "whatever")
		if err != nil || l != (contacts.Login{Address: anna}) || !d.Registered(anna) || !d.Valid(l) {
			t.Fatalf("%+v, %v, registered %v", l, err, d.Registered(anna))
		}
	}
	if got := table.calls(); got != 2 { // the secret, and one registration
		t.Fatalf("%d writes", got)
	}
	for _, user := range []string{"0049", "Anna", "", "+"} {
		if _, err := d.Login(ctx, user, "whatever"); !errors.Is(err, contacts.ErrLogin) {
			t.Errorf("%q: %v", user, err)
		}
	}
	token, _ := issue(t, d, anna)
	if l, err := d.Login(ctx, "", token); err != nil || l.Address != anna {
		t.Fatalf("the token alone: %+v, %v", l, err)
	}
	table.set(func(m *memTable) { m.fail = 1 })
	if _, err := d.Login(ctx, string(ben), ""); !errors.Is(err, errTable) || d.Exists(ben) {
		t.Fatalf("registered on a failing table: %v", err)
	}
	if !open(t, table.crash(), contacts.Config{}).Registered(anna) {
		t.Fatal("the registration is not durable")
	}
}

func FuzzLogin(f *testing.F) {
	table := newTable()
	d, err := contacts.Open(ctx, table, contacts.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = d.Close() })
	add(f, d, anna)
	token, id := issue(f, d, anna)
	f.Add(string(anna), token)
	f.Add("+"+string(anna), token[:45])
	f.Add("", "gw_")
	f.Fuzz(func(t *testing.T, user, password string) {
		l, err := d.Login(ctx, user, password)
		good := password == token && (user == "" || user == string(anna) || user == "+"+string(anna) || user == "+")
		if good != (err == nil) || good && l != (contacts.Login{Address: anna, Token: id}) {
			t.Fatalf("%q: %+v, %v", user, l, err)
		}
	})
}
