package api_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
)

const form = "application/x-www-form-urlencoded"

type fields = map[string]string

func TestBodies(t *testing.T) {
	multipart := strings.ReplaceAll("--x\nContent-Disposition: form-data; name=\"text\"\n\nhello\nthere\n--x\nContent-Disposition: form-data; name=\"sms\"\n\nnever\n--x--\n", "\n", "\r\n")
	for _, c := range []struct {
		name, contentType, body, text string
		fields                        fields
	}{
		{"curl -d hello", form, "hello", "hello", nil},
		{"curl -d with signs of a form that is none", form, "50% off & a=b; 1+1=2", "50% off & a=b; 1+1=2", nil},
		{"curl -d with a word of ours", form, "message", "message", nil},
		{"a form", form, "text=50%25+off&after=30s&sms=never", "50% off", fields{"after": "30s", "sms": "never"}},
		{"a form with the other word", form, "message=hello", "hello", nil},
		{"a form with a semicolon", form, "text=a;b", "a;b", nil},
		{"the same twice", form, "text=a&message=a&sms=auto&sms=auto", "a", fields{"sms": "auto"}},
		{"curl --data-binary of a file", form, "\xff\xd8\xff", "\xff\xd8\xff", nil},
		{"curl -F", "multipart/form-data; boundary=x", multipart, "hello\r\nthere", fields{"sms": "never"}},
		{"no content type", "", "text=hello", "text=hello", nil},
		{"plain", "text/plain", `{"text":"hello"}`, `{"text":"hello"}`, nil},
		{"plain, with a charset", "text/plain; charset=UTF-8", "退订", "退订", nil},
		{"octets", "application/octet-stream", "\x00\xff", "\x00\xff", nil},
		{"a picture", "image/png", "\x89PNG", "\x89PNG", nil},
		{"JSON", "application/json", `{"text":"hello"}`, "hello", nil},
		{"JSON, with a charset", "application/json; charset=utf-8", `{"message":"hello"}`, "hello", nil},
		{"JSON of a kind", "application/vnd.godwit+json", `{"text":"hello"}`, "hello", nil},
		{"JSON with all", "application/json", `{"text":"hello","after":"1m","sms":"only","receipts":"all","expires":"2h","key":"k1"}`, "hello",
			fields{"after": "1m", "sms": "only", "receipts": "all", "expires": "2h", "key": "k1"}},
		{"JSON with null", "application/json", ` {"text":"hello","after":null} `, "hello", nil},
		{"JSON, the same twice", "application/json", `{"text":"hello","message":"hello","sms":"auto","sms":"auto"}`, "hello", fields{"sms": "auto"}},
	} {
		got, err := api.ParseBody(c.contentType, []byte(c.body))
		if err != nil || got.Text != c.text || !maps.Equal(got.Fields, c.fields) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestBodiesThatAreNoMessage(t *testing.T) {
	for _, c := range []struct{ name, contentType, body, says string }{
		{"empty", "", "", "there is no text"},
		{"empty text", "application/json", `{"text":""}`, "there is no text"},
		{"no text", "application/json", `{"after":"30s"}`, "there is no text"},
		{"a form without text", form, "after=30s", "there is no text"},
		{"a form with a misspelt option", form, "text=hello&afer=30s", `the field afer`},
		{"a form with a wrong escape", form, "text=50%", "--data-urlencode"},
		{"a form with two texts", form, "text=a&message=b", "given twice"},
		{"a form with two values", form, "text=a&sms=auto&sms=never", "sms is given twice"},
		{"a multipart form without a boundary", "multipart/form-data", "x", "boundary"},
		{"a multipart form that ends early", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nhel", "the form"},
		{"a multipart form with a misspelt option", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"afer\"\r\n\r\n1s\r\n--x--\r\n", `no field "afer"`},
		{"JSON with a misspelt option", "application/json", `{"text":"hello","afer":"30s"}`, `no field "afer"`},
		{"JSON with another case", "application/json", `{"Text":"hello"}`, `no field "Text"`},
		{"JSON with a number", "application/json", `{"text":"hello","after":30}`, `"after" must be a string`},
		{"JSON with two values", "application/json", `{"text":"hello","sms":"auto","sms":"never"}`, "sms is given twice"},
		{"JSON with two texts", "application/json", `{"text":"a","message":"b"}`, "given twice"},
		{"JSON that ends early", "application/json", `{"text":"hel`, "ends too early"},
		{"JSON that is no object", "application/json", `["hello"]`, "object was expected"},
		{"two objects", "application/json", `{"text":"a"}{"text":"b"}`, "something follows"},
		{"JSON that is not UTF-8", "application/json", "{\"text\":\"\xff\"}", "UTF-8"},
		{"text in another charset", "text/plain; charset=iso-8859-1", "gr\xfc\xdfe", "UTF-8"},
		{"text that is none", "text/plain", "\xff\xd8", "octet-stream"},
		{"a content type that is none", "text/plain; =", "hello", "Content-Type"},
	} {
		got, err := api.ParseBody(c.contentType, []byte(c.body))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, contentType := range []string{"", form, "application/json", "text/plain; charset=utf-8", "multipart/form-data; boundary=x", "image/png"} {
		for _, body := range []string{"", "hello", "text=a&sms=never", `{"text":"a","sms":"never"}`, "--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\na\r\n--x--\r\n"} {
			f.Add(contentType, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		got, err := api.ParseBody(contentType, body)
		if err == nil && (got.Text == "" || len(got.Text) > 3*len(body)+3) {
			t.Errorf("%d octets of text from %d", len(got.Text), len(body))
		}
		for name := range got.Fields {
			if !strings.Contains(" after sms receipts expires key ", " "+name+" ") {
				t.Errorf("field %q", name)
			}
		}
	})
}
