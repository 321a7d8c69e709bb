package smshttp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/seed-7a41469f/godwit/sms"
)

// What the templates of a webhook say about an MT.
type mtData struct {
	To         string // digits; {{.To|plus}} writes the +
	From       string // digits of a number, or a name
	Number     string // the gateway's own
	Text       string
	Ref        string // 32 hexadecimal digits, the same for each attempt
	Attempt    int    // counts the attempts from 1: {{.Ref}}-{{.Attempt}} is an idempotency key
	Segments   int    // how many the text takes
	Validity   int    // seconds; 0: the carrier's default
	DataCoding int    // 0: GSM 7, 8: UCS-2 (3GPP TS 23.038 §4)
	Hex        string // the text in that coding, in hexadecimal digits; GSM 7 is not packed
	Now        int64  // milliseconds since 1970

	CallbackURL string // …/gateway/<name>
	DLRURL      string // …/gateway/<name>/dlr?key=<callback secret>; "": nobody hears it
	MOURL       string // …/gateway/<name>/mo?key=<callback secret>; "": nobody hears it

	Username, Password, Token, Key string // Key: of the HMAC
}

// functions are what templates have beside those of text/template.
var functions = template.FuncMap{
	"json":    jsonText,
	"plus":    international,
	"minutes": func(seconds int) int { return (seconds + 59) / 60 },
	"hmac":    func(key, text string) string { return string(mac(key, text)) },
	"hex":     func(octets string) string { return hex.EncodeToString([]byte(octets)) },
	"base64":  func(octets string) string { return base64.StdEncoding.EncodeToString([]byte(octets)) },
}

// jsonText writes a string as JSON, in quotes, and a number as it is.
func jsonText(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

// mac returns the HMAC-SHA256 of the parts of a text (RFC 2104).
func mac(key string, parts ...string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	for _, p := range parts {
		m.Write([]byte(p))
	}
	return m.Sum(nil)
}

// A form is the two templates of a webhook.
type form struct {
	url, body   *template.Template
	contentType string
}

// newForm reads the templates and tries them.
func newForm(address, body, contentType string) (*form, error) {
	// What stands in a URL is escaped by itself, so there the function that does it changes nothing.
	asIs := template.FuncMap{"urlquery": func(s string) string { return s }, escapeName: escape}
	u, err := template.New("url").Funcs(functions).Funcs(asIs).Parse(address)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	for _, t := range u.Templates() {
		escapeActions(t.Root)
	}
	b, err := template.New("body").Funcs(functions).Parse(body)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	f := &form{url: u, body: b, contentType: contentType}
	return f, f.try()
}

// write returns the URL and the body for an MT.
func (f *form) write(d mtData) (address string, body []byte, err error) {
	var u, b bytes.Buffer
	if err := f.url.Execute(&u, d); err != nil {
		return "", nil, fmt.Errorf("url: %w", err)
	}
	if err := f.body.Execute(&b, d); err != nil {
		return "", nil, fmt.Errorf("body: %w", err)
	}
	return u.String(), b.Bytes(), nil
}

const escapeName = "escape"

// escape writes what can stand in the path of a URL, and in its query.
func escape(v any) string {
	return strings.ReplaceAll(url.QueryEscape(fmt.Sprint(v)), "+", "%20") // a + is a blank in a query only
}

// escapeActions has all that actions write escaped, last of all: what a function makes needs it as much as what stands in the data.
func escapeActions(list *parse.ListNode) {
	if list == nil {
		return
	}
	branch := func(b parse.BranchNode) { escapeActions(b.List); escapeActions(b.ElseList) }
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(escapeName).SetPos(n.Pos)}})
			}
		case *parse.IfNode:
			branch(n.BranchNode)
		case *parse.RangeNode:
			branch(n.BranchNode)
		case *parse.WithNode:
			branch(n.BranchNode)
		}
	}
}

// hard is a text that breaks what does not escape it.
const hard = "Grüße \"a\\b\" & c=d;e+f %20 <g>\n€ {😀}"

// sample is an MT for trying templates.
func sample(to, text string) mtData {
	d := mtData{
		To: to, From: "Godwit & \"Co\"", Number: "4915100000000", Text: text, Ref: strings.Repeat("0f", len(sms.Ref{})), Attempt: 1, Segments: 1,
		Validity: 3600, Now: time.Unix(1, 0).UnixMilli(), CallbackURL: "https://example.org/gateway/x",
		DLRURL: "https://example.org/gateway/x/dlr?key=a%26b", MOURL: "https://example.org/gateway/x/mo?key=a%26b",
		Username: "u&=\"", Password: "p&=\"", Token: "t&=\"", Key: "k&=\"",
	}
	d.encode(sms.UCS2)
	return d
}

// encode sets the text's octets.
func (d *mtData) encode(coding sms.Coding) {
	octets, err := sms.Encode(d.Text, coding)
	if err != nil {
		return // the text is what sms.Split took
	}
	d.Hex, d.DataCoding = hex.EncodeToString(octets), 0
	if coding == sms.UCS2 {
		d.DataCoding = 8
	}
}

// try executes the templates on samples, and reads what they write.
func (f *form) try() error {
	const to = "4915112345678"
	address, body, err := f.write(sample(to, hard))
	if err != nil {
		return err
	}
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("url: it is none, want https://host/path")
	}
	words, err := f.words(body)
	if err != nil {
		return err
	}
	otherURL, otherBody, err := f.write(sample("4915187654321", hard))
	if err != nil || otherURL == address && bytes.Equal(otherBody, body) {
		return errors.Join(err, errors.New("the recipient is missing: write {{.To}} into the body or the url"))
	}
	otherURL, otherBody, err = f.write(sample(to, "another"))
	if err != nil || otherURL == address && bytes.Equal(otherBody, body) {
		return errors.Join(err, errors.New("the text is missing: write {{.Text}} into the body or the url"))
	}
	bare := sample(to, "another")
	bare.Hex = sample(to, hard).Hex
	if _, mute, err := f.write(bare); err != nil || words == nil || bytes.Equal(mute, body) {
		return err // the body has the text in hexadecimal digits, or not at all, or nobody knows how it is escaped
	}
	for _, word := range words {
		if strings.Contains(word, hard) {
			return nil
		}
	}
	return errors.New("body: a text with quotes, & or line feeds would not arrive as it is: write {{.Text|json}} in JSON (it brings the quotes) " +
		"and {{.Text|urlquery}} in a form")
}

// uses reports whether blanking something changes what the templates write.
func (f *form) uses(blank func(*mtData)) bool {
	full := sample("4915112345678", hard)
	u1, b1, err1 := f.write(full)
	blank(&full)
	u2, b2, err2 := f.write(full)
	return err1 != nil || err2 != nil || u1 != u2 || !bytes.Equal(b1, b2)
}

// words reads a body, and returns the strings in it; nil: it is neither JSON nor a form.
func (f *form) words(body []byte) (words []string, err error) {
	switch {
	case strings.Contains(f.contentType, "json"):
		doc, err := parseJSON(body)
		if err != nil {
			return nil, fmt.Errorf("body: it is no JSON (%s): a string is {{.Text|json}}, without quotes of its own", describe(err))
		}
		return gather(nil, doc), nil
	case strings.Contains(f.contentType, "x-www-form-urlencoded"):
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, errors.New("body: it is no form: a value is {{.Text|urlquery}}")
		}
		for _, v := range values {
			words = append(words, v...)
		}
		return words, nil
	}
	return nil, nil
}

func gather(words []string, doc any) []string {
	switch at := doc.(type) {
	case string:
		return append(words, at)
	case []any:
		for _, v := range at {
			words = gather(words, v)
		}
	case map[string]any:
		for _, v := range at {
			words = gather(words, v)
		}
	}
	return words
}
