package main_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/picture"
)

func TestUsers(t *testing.T) {
	s := serve(t, "auth: {mode: token}")
	c := object[api.Credential](t, godwit(t, s.op("user", "add", "+49 176 0406-9001", "--device", "first")...).want(t, 0, ""))
	if c.Address != "4917604069001" || !strings.HasPrefix(c.Token, "gw_") || c.ID == "" {
		t.Errorf("add: %+v", c)
	}
	godwit(t, s.op("user", "add", "4917604069001")...).want(t, 1, "exists: ")
	second := object[api.Credential](t, godwit(t, s.op("user", "token", "4917604069001", "--device", "tablet")...).want(t, 0, ""))
	plain := godwit(t, "user", "add", "boiler", "--config", s.file).want(t, 0, "")
	if !regexp.MustCompile(`^boiler\tgw_\S+\t\S+\n$`).MatchString(plain.out) {
		t.Errorf("piped: %q", plain.out)
	}

	users := objects[api.User](t, godwit(t, s.op("user", "list")...).want(t, 0, ""))
	if len(users) != 2 || users[0].Address != "4917604069001" || users[1].Address != "boiler" {
		t.Errorf("list: %+v", users)
	}
	u := object[api.User](t, godwit(t, s.op("user", "show", "4917604069001")...).want(t, 0, ""))
	if len(u.Tokens) != 2 || u.Tokens[0].ID != c.ID || u.Tokens[1].Device != "tablet" {
		t.Errorf("show: %+v", u)
	}
	if r := godwit(t, "user", "show", "4917604069001", "--config", s.file).want(t, 0, ""); !strings.Contains(r.out, "token\t"+second.ID+"  tablet") {
		t.Errorf("show: %q", r.out)
	}

	// A revoked token ends the connection that it opened.
	listening := inBackground(t, append(s.as("4917604069001", "listen", "--json"), "--token", c.Token)...)
	// (For the app only: it waits for the listener, should that be slower.)
	godwit(t, append(s.as("boiler", "send", "--sms", "never", "4917604069001", "on"), "--token", strings.Split(plain.out, "\t")[1])...).want(t, 0, "")
	listening.out.line(t, `"text":"on"`)
	godwit(t, s.op("user", "token", "4917604069001", "--revoke", c.ID)...).want(t, 0, "")
	listening.wait().want(t, 1, "not_authorized: ")
	godwit(t, append(s.as("4917604069001", "send", "boiler", "x"), "--token", c.Token)...).want(t, 1, "not_authorized: ")
	godwit(t, append(s.as("4917604069001", "send", "boiler", "x"), "--token", "gw_wrong")...).want(t, 1, "login: ")
	godwit(t, append(s.as("4917604069001", "listen"), "--token", "gw_wrong")...).want(t, 1, "login: ")

	godwit(t, s.op("user", "token", "4917604069001", "--revoke", c.ID)...).want(t, 1, "not_found: ")
	godwit(t, s.op("user", "token", "4917604069001", "--all")...).want(t, 0, "")
	godwit(t, s.op("user", "remove", "4917604069001")...).want(t, 0, "")
	godwit(t, s.op("user", "show", "4917604069001")...).want(t, 1, "not_found: ")
	godwit(t, s.op("user", "remove", "4917604069001")...).want(t, 1, "not_found: ")
}

func TestMessagesAndExplain(t *testing.T) {
	s := serve(t, "")
	godwit(t, s.op("user", "add", "boiler")...).want(t, 0, "")
	godwit(t, s.as("ann", "send", "boiler", "are you warm?")...).want(t, 0, "")
	godwit(t, s.as("ann", "send", "--wait", "4917604069003", "by SMS")...).want(t, 0, "")
	godwit(t, s.as("ann", "send", "--wait", "nobody", "lost")...).want(t, 1, "failed: no_such_name: ")

	all := objects[picture.Message](t, godwit(t, s.op("messages")...).want(t, 0, ""))
	if len(all) != 3 || all[0].To != "nobody" || all[1].To != "4917604069003" || all[2].To != "boiler" || all[0].From != "ann" || all[0].Created == "" {
		t.Fatalf("got %+v", all)
	}
	for _, c := range []struct {
		args string
		want int
	}{
		{"--state failed", 1}, {"--state delivered", 0}, {"--to +4917604069003", 1}, {"--from ann", 3}, {"--from ann --limit 2", 2}, {"--to boiler --state submitted", 0},
	} {
		if got := objects[picture.Message](t, godwit(t, s.op(append([]string{"messages"}, strings.Fields(c.args)...)...)...).want(t, 0, "")); len(got) != c.want {
			t.Errorf("%s: %d, want %d", c.args, len(got), c.want)
		}
	}
	godwit(t, s.op("messages", "--state", "done")...).want(t, 2, "usage: state \"done\" is none of")
	if r := godwit(t, "messages", "--config", s.file).want(t, 0, ""); strings.Count(r.out, "\n") != 3 || !strings.Contains(r.out, all[1].ID+"\t") {
		t.Errorf("piped: %q", r.out)
	}

	p := object[picture.Path](t, godwit(t, s.op("explain", all[1].ID)...).want(t, 0, ""))
	if p.Message.State != "submitted" || !p.Message.Final || p.Message.Reason != delivery.NotRegistered || len(p.Trail) < 3 {
		t.Errorf("explain: %+v", p)
	}
	r := godwit(t, "explain", strings.ToLower(all[1].ID), "--config", s.file).want(t, 0, "")
	for _, want := range []string{"ann → +4917604069003   SMS with the carrier", "S1  stored", "├┈┈ app ┈", "has no app", "╰━━ SMS ━", "carrier took it"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not in %s", want, r.out)
		}
	}
	godwit(t, s.op("explain", "01KASVW5G00ZT4Q8C3M9E7XB5R")...).want(t, 1, "not_found: ")
}

func TestHealth(t *testing.T) {
	s := serve(t, "")
	if h := object[api.Health](t, godwit(t, s.op("health")...).want(t, 0, "")); !h.Ready || h.Store != "ok" {
		t.Errorf("got %+v", h)
	}
	if r := godwit(t, "health", "--admin", "http://"+s.http).want(t, 0, ""); !strings.HasPrefix(r.out, "ready: store ok, disk ok") {
		t.Errorf("by the HTTP port: %q", r.out)
	}
	t.Setenv("GODWIT_ADMIN", "http://"+s.http)
	godwit(t, "health").want(t, 0, "")
	if r := s.interrupt(); r.exit != 0 {
		t.Errorf("serve ends with %d: %s", r.exit, r.err)
	}
	godwit(t, s.op("health")...).want(t, 3, "connect: ")
}

func TestUnready(t *testing.T) {
	s := serve(t, "limits: {disk_free: 512TiB}")
	r := godwit(t, s.op("health")...).want(t, 1, "unready: ")
	if h := object[api.Health](t, r); h.Ready || h.Disk != "low" {
		t.Errorf("got %+v", h)
	}
	godwit(t, s.as("ann", "send", "4917604069001", "x")...).want(t, 1, "quota: ")
}

func TestSecondBroker(t *testing.T) {
	s := serve(t, "")
	t.Setenv("GODWIT_LISTEN__ADMIN", "unix:"+s.file+".sock")
	r := godwit(t, "serve", "--config", s.file)
	if r.exit != 1 || !strings.Contains(r.err, "in use by another process") {
		t.Errorf("a second broker over the same data: exit %d, %s", r.exit, r.err)
	}
	godwit(t, s.op("health")...).want(t, 3, "connect: ") // the variable names another socket
	t.Setenv("GODWIT_LISTEN__ADMIN", "")
	if r := godwit(t, "health", "--admin", "http://"+s.http); r.exit != 0 {
		t.Errorf("the first one suffered: %s", r.err)
	}
}
