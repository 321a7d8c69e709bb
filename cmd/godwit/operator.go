package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-7a41469f/godwit/api"
)

// An operator asks a broker's admin API.
type operator struct {
	base   string // http://host:port
	where  string // as people call it
	token  string
	trust  trust
	client *http.Client
}

// operatorFlags are those of every operator command; the returned function makes the client once they are read.
func operatorFlags(cmd *cobra.Command) func() (*operator, error) {
	var admin, file string
	var t trust
	cmd.Flags().StringVar(&admin, "admin", "", "the broker's operator API: unix:PATH, http://host:port or https://host (GODWIT_ADMIN; with GODWIT_ADMIN_TOKEN)")
	configFlag(cmd, &file)
	t.caFlag(cmd)
	offerFlag(cmd, "admin", fixed("unix:", "http://127.0.0.1:8080", "https://"))
	return func() (*operator, error) {
		address := admin
		if address == "" && file == "" {
			address = os.Getenv("GODWIT_ADMIN")
		}
		return operatorAt(address, file, t)
	}
}

// findOperator is the operator's client of a command that has no flags for one.
func findOperator() (*operator, error) { return operatorAt(os.Getenv("GODWIT_ADMIN"), "", trust{}) }

// operatorAt makes the client for an address, or else for the broker that a configuration is of.
func operatorAt(address, file string, t trust) (*operator, error) {
	t.environment()
	token := os.Getenv("GODWIT_ADMIN_TOKEN")
	if address != "" {
		return newOperator(address, token, t)
	}
	cfg, err := load(file)
	if err != nil {
		return nil, err
	}
	if token == "" {
		token = string(cfg.Admin.Token)
	}
	switch {
	case cfg.Socket() != "":
		return newOperator("unix:"+cfg.Socket(), token, t)
	case cfg.Listen.Admin != "":
		return newOperator("http://"+cfg.Listen.Admin, token, t)
	case cfg.Listen.HTTP != "" && token != "":
		return newOperator("http://"+cfg.Listen.HTTP, token, t)
	}
	return nil, usage("listen.admin is off in this configuration, so there is nothing to ask; set it to unix:, or give --admin")
}

func newOperator(address, token string, t trust) (*operator, error) {
	o := &operator{base: address, where: address, token: token, trust: t, client: &http.Client{Timeout: time.Minute}}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return nil, usage("--admin unix: lacks the path of the socket, such as unix:godwit-data/admin.sock")
		}
		o.base = "http://localhost"
		o.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		}}
		return o, nil
	}
	u, err := url.Parse(address)
	if err == nil && u.User != nil {
		return nil, usage("--admin has a login in it; the admin token goes into GODWIT_ADMIN_TOKEN")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage("--admin %q is none of unix:PATH, http://host:port, https://host", address)
	}
	o.base = strings.TrimSuffix(address, "/")
	if u.Scheme == "https" {
		secure, err := t.config()
		if err != nil {
			return nil, err
		}
		o.client.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true}
	}
	return o, nil
}

// ask sends a request and reads the answer into result, which may be nil; status is that of an answer that is no problem.
func (o *operator) ask(ctx context.Context, method, path string, body, result any) (status int, err error) {
	defer o.client.CloseIdleConnections()
	req, err := o.request(ctx, method, path, body)
	if err != nil {
		return 0, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return 0, o.unreachable(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return 0, o.unreachable(err)
	}
	if p, ok := problemOf(resp, text); ok {
		return 0, problemFailure(p)
	}
	if resp.StatusCode >= 300 && !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return 0, failed("answer", "%s answers %s as godwit does not; is it the address of a broker?", o.where, resp.Status)
	}
	if result == nil || len(text) == 0 {
		return resp.StatusCode, nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return 0, failed("answer", "%s answers with something else than godwit does: %w", o.where, err)
	}
	return resp.StatusCode, nil
}

func (o *operator) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.base+path, text)
	if err != nil {
		return nil, usage("%w", err)
	}
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	return req, nil
}

func (o *operator) unreachable(err error) error {
	if err = inner(err); errors.Is(err, context.Canceled) {
		return err
	}
	var f *failure
	if explained := o.trust.explain(o.where, err); errors.As(explained, &f) && f.word != "connect" {
		return explained
	}
	return unreachable("no broker answers on %s (%w); start one with godwit serve, or name it with --admin", o.where, err)
}

// problemFailure is what a command ends with: a bad request is a mistake of usage.
func problemFailure(p api.Problem) error {
	if p.Code == api.CodeBadRequest {
		return usage("%s", p.Detail)
	}
	return &failure{exitFailed, p.Code, errors.New(p.Detail)}
}

// pages asks for all pages of a list, one after the other; show shows one, and tells where the next begins: empty after the last.
func pages[P any](ctx context.Context, o *operator, path string, show func(page P) (next string, err error)) error {
	for after := ""; ; {
		var page P
		if _, err := o.ask(ctx, "GET", path+"?limit=1000&after="+url.QueryEscape(after), nil, &page); err != nil {
			return err
		}
		next, err := show(page)
		if err != nil || next == "" {
			return err
		}
		after = next
	}
}
