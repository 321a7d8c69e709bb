package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	client *http.Client
}

// operatorFlags are those of every operator command; the returned function makes the client once they are read.
func operatorFlags(cmd *cobra.Command) func() (*operator, error) {
	var admin, file string
	cmd.Flags().StringVar(&admin, "admin", "", "the broker's operator API: unix:PATH, http://host:port or https://… (GODWIT_ADMIN)")
	configFlag(cmd, &file)
	return func() (*operator, error) {
		token := os.Getenv("GODWIT_ADMIN_TOKEN")
		address := admin
		if address == "" && file == "" {
			address = os.Getenv("GODWIT_ADMIN")
		}
		if address != "" {
			return newOperator(address, token)
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
			return newOperator("unix:"+cfg.Socket(), token)
		case cfg.Listen.Admin != "":
			return newOperator("http://"+cfg.Listen.Admin, token)
		}
		return nil, usage("listen.admin is off in this configuration, so there is nothing to ask; set it to unix:")
	}
}

func newOperator(address, token string) (*operator, error) {
	o := &operator{base: address, where: address, token: token, client: &http.Client{Timeout: time.Minute}}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		o.base = "http://localhost"
		o.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		}}
		return o, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usage("--admin %q is none of unix:PATH, http://host:port, https://host", address)
	}
	o.base = strings.TrimSuffix(address, "/")
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
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		return 0, o.problem(text)
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
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return unreachable("no broker answers on %s (%w); start one with godwit serve, or name it with --admin", o.where, err)
}

func (o *operator) problem(text []byte) error {
	var p api.Problem
	if err := json.Unmarshal(text, &p); err != nil || p.Code == "" {
		return failed("answer", "%s answers with something else than godwit does", o.where)
	}
	if p.Code == api.CodeBadRequest {
		return usage("%s", p.Detail)
	}
	return &failure{exitFailed, p.Code, fmt.Errorf("%s", p.Detail)}
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
