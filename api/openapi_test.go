package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7a41469f/godwit/api"
)

// newAPI makes an API of what a test needs.
func newAPI(t *testing.T, cfg api.Config) *api.API {
	t.Helper()
	if cfg.PublicURL == "" {
		cfg.PublicURL = "https://push.example.org"
	}
	a, err := api.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// get asks a handler from this machine, unless edit says otherwise.
func get(h http.Handler, method, path string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host, r.RemoteAddr = "push.example.org", "127.0.0.1:4711"
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type object = map[string]any

func specOf(t *testing.T, h http.Handler) (spec object) {
	t.Helper()
	w := get(h, "GET", "/openapi.json", nil)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if err := json.Unmarshal(w.Body.Bytes(), &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

var (
	parameter   = regexp.MustCompile(`\{([a-z_]+)\}`)
	operationID = regexp.MustCompile(`^[a-z][A-Za-z]+$`)
	methods     = []string{"get", "put", "post", "delete", "patch"}
)

// The description has the structure that OpenAPI 3.1 asks for, and what generated clients need beyond it.
func TestOpenAPI(t *testing.T) {
	a := newAPI(t, api.Config{})
	spec := specOf(t, a.Public())
	if spec["openapi"] != "3.1.0" || spec["info"].(object)["title"] == "" || spec["info"].(object)["version"] == "" {
		t.Errorf("head: %v %v", spec["openapi"], spec["info"])
	}
	tags, schemes := map[string]bool{}, spec["components"].(object)["securitySchemes"].(object)
	for _, tag := range spec["tags"].([]any) {
		tags[tag.(object)["name"].(string)] = true
	}
	ids := map[string]string{}
	for path, item := range spec["paths"].(object) {
		for method, v := range item.(object) {
			op, at := v.(object), method+" "+path
			if !slices.Contains(methods, method) {
				t.Errorf("%s: no method", at)
			}
			id, _ := op["operationId"].(string)
			if ids[id] != "" || !operationID.MatchString(id) {
				t.Errorf("%s: operationId %q, as %q", at, id, ids[id])
			}
			ids[id] = at
			if summary, _ := op["summary"].(string); summary == "" {
				t.Errorf("%s has no summary", at)
			}
			for _, tag := range op["tags"].([]any) {
				if !tags[tag.(string)] {
					t.Errorf("%s: the tag %v is not declared", at, tag)
				}
			}
			checkSecurity(t, at, op, schemes)
			checkParameters(t, at, path, op)
			checkResponses(t, at, op)
		}
	}
	checkSchemas(t, spec)
}

func checkSecurity(t *testing.T, at string, op, schemes object) {
	t.Helper()
	security, _ := op["security"].([]any)
	for _, s := range security {
		for name := range s.(object) {
			if schemes[name] == nil {
				t.Errorf("%s: the security scheme %s is not declared", at, name)
			}
		}
	}
	if strings.Contains(at, "/v1/admin/") && fmt.Sprint(security) != "[map[admin:[]]]" {
		t.Errorf("%s needs the admin token, and says %v", at, security)
	}
}

func checkParameters(t *testing.T, at, path string, op object) {
	t.Helper()
	declared := map[string]bool{}
	parameters, _ := op["parameters"].([]any)
	for _, v := range parameters {
		p := v.(object)
		name, in := p["name"].(string), p["in"].(string)
		if declared[in+name] || p["schema"] == nil || in == "path" && p["required"] != true {
			t.Errorf("%s: the parameter %s is %v", at, name, p)
		}
		declared[in+name] = true
	}
	for _, m := range parameter.FindAllStringSubmatch(path, -1) {
		if !declared["path"+m[1]] {
			t.Errorf("%s does not declare {%s}", at, m[1])
		}
	}
}

func checkResponses(t *testing.T, at string, op object) {
	t.Helper()
	responses, _ := op["responses"].(object)
	if len(responses) == 0 {
		t.Errorf("%s has no answers", at)
	}
	for status, v := range responses {
		r := v.(object)
		if r["description"] == nil || r["description"] == "" {
			t.Errorf("%s: %s has no description", at, status)
		}
		content, _ := r["content"].(object)
		if (status == "default" || status[0] == '4') && content["application/problem+json"] == nil {
			t.Errorf("%s: %s is no problem: %v", at, status, content)
		}
	}
}

// checkSchemas follows every reference, and wants words for closed lists.
func checkSchemas(t *testing.T, spec object) {
	t.Helper()
	schemas := spec["components"].(object)["schemas"].(object)
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				name, ours := strings.CutPrefix(ref, "#/components/schemas/")
				if !ours || schemas[name] == nil {
					t.Errorf("%s refers to %s, which is not there", at, ref)
				}
			}
			for name, inner := range v {
				walk(at+"/"+name, inner)
			}
		case []any:
			for i, inner := range v {
				walk(fmt.Sprintf("%s/%d", at, i), inner)
			}
		}
	}
	walk("#", spec)
	message := schemas["Message"].(object)["properties"].(object)
	for _, name := range []string{"state", "reason", "via", "root"} {
		if message[name].(object)["enum"] == nil {
			t.Errorf("Message.%s has no list of its words: %v", name, message[name])
		}
	}
	for _, name := range []string{"at", "created"} {
		if message[name].(object)["format"] != "date-time" {
			t.Errorf("Message.%s: %v", name, message[name])
		}
	}
	if schemas["ErrorModel"] != nil || schemas["Problem"] == nil {
		t.Error("errors are described as huma's, not as ours")
	}
}

// Both doors describe the same, and every operation that is described is answered.
func TestOpenAPIOfBothDoors(t *testing.T) {
	a := newAPI(t, api.Config{})
	public, operator := get(a.Public(), "GET", "/openapi.json", nil), get(a.Operator(true), "GET", "/openapi.json", nil)
	if operator.Code != 200 || public.Body.String() != operator.Body.String() {
		t.Error("the doors describe different things")
	}
	routes := map[string]bool{}
	a.Requests(func(route string, _ int, _ uint64) { routes[route] = true })
	for path, item := range specOf(t, a.Public())["paths"].(object) {
		for method := range item.(object) {
			plain := path == "/mqtt" || path == "/metrics" || strings.HasPrefix(path, "/gateway/") // which this API was not given
			if route := strings.ToUpper(method) + " " + path; !routes[route] && !plain {
				t.Errorf("%s is described, and no route", route)
			}
		}
	}
}
