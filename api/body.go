package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/seed-7a41469f/godwit/delivery"
)

// A letter is what a request wants sent, as it is written there.
type letter struct {
	to      string // where the address is not in the path
	payload []byte
	fields  map[string]string // after, sms, receipts, expires, key; nil: none
}

// Fields beside the options of a message (delivery.Message.SetOption).
const (
	fieldText    = "text"
	fieldMessage = "message" // the same
	fieldExpires = "expires"
	fieldKey     = "key"
	fieldTo      = "to"
	fieldTopic   = "topic" // the same, as ntfy calls it
)

const knownFields = "text (or message), after, sms, expires, receipts, key"

// Errors of a body.
var (
	errCharset = errors.New("the text is to be in UTF-8")
	errNoText  = errors.New("there is no text")
)

// isOption reports whether a field says how to send.
func isOption(name string) bool {
	switch name {
	case delivery.OptionAfter, delivery.OptionSMS, delivery.OptionReceipts, fieldExpires, fieldKey:
		return true
	}
	return false
}

func isText(name string) bool { return name == fieldText || name == fieldMessage }

// set notes an option. One that is given twice must be the same: it is not known which is meant.
func (l *letter) set(name, value string) error {
	if had, ok := l.fields[name]; ok && had != value {
		return fmt.Errorf("%s is given twice, and differently", name)
	}
	if l.fields == nil {
		l.fields = make(map[string]string, 4)
	}
	l.fields[name] = value
	return nil
}

// write notes the text.
func (l *letter) write(text string) error {
	if l.payload != nil && string(l.payload) != text {
		return errors.New("the text is given twice, and differently")
	}
	l.payload = []byte(text)
	return nil
}

// put notes a field of a form or of an object; ok false: there is no such field.
func (l *letter) put(name, value string) (ok bool, err error) {
	switch {
	case isText(name):
		return true, l.write(value)
	case isOption(name):
		return true, l.set(name, value)
	}
	return false, nil
}

// parseBody reads the body of POST /to/{address}: a JSON object, a form, or the payload itself (docs/sending.md).
func parseBody(contentType string, body []byte) (l letter, err error) {
	media, params, err := mediaType(contentType)
	if err != nil {
		return l, err
	}
	switch {
	case media == "application/x-www-form-urlencoded":
		l, err = parseForm(body)
	case media == "multipart/form-data":
		l, err = parseMultipart(body, params["boundary"])
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		l, err = parseJSON(body)
	case strings.HasPrefix(media, "text/"):
		l.payload, err = body, checkText(params["charset"], body)
	default:
		l.payload = body
	}
	if err == nil && len(l.payload) == 0 {
		err = errNoText
	}
	return l, err
}

// mediaType reads a Content-Type (RFC 9110 §8.3). What most requests have costs nothing.
func mediaType(contentType string) (string, map[string]string, error) {
	switch contentType {
	case "", "application/json", "text/plain", "application/x-www-form-urlencoded":
		return contentType, nil, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", nil, fmt.Errorf("the Content-Type cannot be read: %w", err)
	}
	return media, params, nil
}

func checkText(charset string, body []byte) error {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii":
	default:
		return fmt.Errorf("%w, not in %.40q", errCharset, charset)
	}
	if !utf8.Valid(body) {
		return fmt.Errorf("%w, and is not; send what is no text as application/octet-stream", errCharset)
	}
	return nil
}

// parseForm reads application/x-www-form-urlencoded (WHATWG URL §5). curl -d says that of everything, so what has no field of ours is the payload itself.
func parseForm(body []byte) (letter, error) {
	var l letter
	var known bool
	var unknown string
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, is := strings.Cut(pair, "=")
		if !is || !isText(name) && !isOption(name) {
			if unknown = "a part without a name"; is {
				unknown = "the field " + name[:min(len(name), 40)]
			}
			continue
		}
		known = true
		text, err := url.QueryUnescape(value)
		if err != nil {
			return letter{}, fmt.Errorf("the form's field %s: %w; with curl, --data-urlencode writes it right", name, err)
		}
		if _, err := l.put(name, text); err != nil {
			return letter{}, err
		}
	}
	switch {
	case !known:
		return letter{payload: body}, nil
	case unknown != "":
		return letter{}, fmt.Errorf("the form has %s, which is none of %s. What is no form is sent as text/plain", unknown, knownFields)
	}
	return l, nil
}

// parseMultipart reads multipart/form-data (RFC 7578), as curl -F sends it.
func parseMultipart(body []byte, boundary string) (l letter, err error) {
	if boundary == "" {
		return l, errors.New("multipart/form-data without a boundary")
	}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return l, nil
		}
		if err != nil {
			return l, fmt.Errorf("the form: %w", err)
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return l, fmt.Errorf("the form: %w", err)
		}
		switch ok, err := l.put(part.FormName(), string(value)); {
		case err != nil:
			return l, err
		case !ok:
			return l, fmt.Errorf("the form has no field %.40q; there are %s", part.FormName(), knownFields)
		}
	}
}

// parseJSON reads an object with fields of ours only: a misspelt option would be lost silently.
func parseJSON(body []byte) (l letter, err error) {
	members, err := parseObject(body)
	if err != nil {
		return l, err
	}
	for _, m := range members {
		if !isText(m.name) && !isOption(m.name) {
			return l, fmt.Errorf("there is no field %.40q; there are %s", m.name, knownFields)
		}
		value, given, err := m.text()
		if err != nil {
			return l, err
		}
		if !given {
			continue
		}
		if _, err := l.put(m.name, value); err != nil {
			return l, err
		}
	}
	return l, nil
}

// A member is a name and a value of a JSON object (RFC 8259 §4).
type member struct {
	name  string
	value json.RawMessage
}

// text returns the value, which must be a string; given false: it is null.
func (m member) text() (value string, given bool, err error) {
	if string(m.value) == "null" {
		return "", false, nil
	}
	if err := json.Unmarshal(m.value, &value); err != nil {
		return "", false, fmt.Errorf("%.40q must be a string", m.name)
	}
	return value, true, nil
}

// parseObject reads one JSON object, with members of the same name one after the other.
func parseObject(body []byte) (members []member, err error) {
	if !utf8.Valid(body) {
		return nil, errors.New("JSON is UTF-8 (RFC 8259 §8.1), and this is not")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("a JSON object was expected")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, badJSON(err)
		}
		m := member{name: name.(string)} // the grammar lets nothing else stand here
		if err := d.Decode(&m.value); err != nil {
			return nil, badJSON(err)
		}
		members = append(members, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, badJSON(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return members, nil
}

func badJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON ends too early")
	}
	return fmt.Errorf("the JSON cannot be read: %w", err)
}
