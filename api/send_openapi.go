package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A Letter is the JSON and form body of POST /to/{address} and its kin.
type Letter struct {
	Text     string `json:"text,omitempty" example:"hello"`
	Message  string `json:"message,omitempty" doc:"The same as text."`
	After    string `json:"after,omitempty" doc:"How long to wait for the app before it becomes an SMS." example:"30s"`
	SMS      string `json:"sms,omitempty" enum:"auto,never,only" doc:"Overrides the route."`
	Receipts string `json:"receipts,omitempty" enum:"none,final,all"`
	Expires  string `json:"expires,omitempty" doc:"How long, or until when, it is worth delivering: 30m, 2h, 7d or RFC 3339." example:"2h"`
	Key      string `json:"key,omitempty" doc:"Your own key: the same one to the same address within 24 h is the same message." pattern:"^[A-Za-z0-9._-]{1,64}$"`
}

// A Notice is the JSON body of POST /to: ntfy's. Further fields are passed over.
type Notice struct {
	Topic    string `json:"topic,omitempty" doc:"The address." example:"4917604069001"`
	To       string `json:"to,omitempty" doc:"The same."`
	Title    string `json:"title,omitempty"`
	Message  string `json:"message,omitempty" example:"hello"`
	Text     string `json:"text,omitempty" doc:"The same."`
	Click    string `json:"click,omitempty" doc:"A link, which is put below the message."`
	After    string `json:"after,omitempty" example:"30s"`
	SMS      string `json:"sms,omitempty" enum:"auto,never,only"`
	Receipts string `json:"receipts,omitempty" enum:"none,final,all"`
	Expires  string `json:"expires,omitempty" example:"2h"`
	Key      string `json:"key,omitempty" pattern:"^[A-Za-z0-9._-]{1,64}$"`
}

// describeSending describes the routes of sending, which huma does not serve: they take bodies of any type.
func (s *sending) describeSending(site *site) {
	add := func(route, id, summary string, body *huma.RequestBody, query ...*huma.Param) {
		op := operation("POST "+route, id, tagSend, summary)
		op.Security = []map[string][]string{{schemeBasic: {}}, {schemeBearer: {}}}
		op.RequestBody, op.Responses = body, sentOrProblem(site)
		if strings.Contains(route, "{address}") {
			op.Parameters = append(op.Parameters, stringParam("address", "path", "A number, as people write it, or a name.", "4917604069001"))
		}
		if strings.Contains(route, "{key}") {
			op.Parameters = append(op.Parameters, stringParam("key", "path", "Your own key: the same one to the same address within 24 h is the same message.", "order-7"))
		}
		op.Parameters = append(op.Parameters, query...)
		site.huma.OpenAPI().AddOperation(&op)
	}
	options := []*huma.Param{
		stringParam("after", "query", "How long to wait for the app before it becomes an SMS.", "30s"), enumParam("sms", "Overrides the route.", "auto", "never", "only"),
		enumParam("receipts", "", "none", "final", "all"), stringParam("expires", "query", "How long, or until when, it is worth delivering.", "2h"),
	}
	key := stringParam("key", "query", "Your own key.", "order-7")
	template := enumParam("template", "The body is what this program's webhook sends.", "alertmanager", "grafana")
	text := bodies(site, reflect.TypeFor[Letter](), "application/json", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream")
	add("/to", "publish", "Send what can write to ntfy, or a webhook", bodies(site, reflect.TypeFor[Notice](), "application/json"),
		append([]*huma.Param{template, stringParam("to", "query", "The address, where the body has none.", "4917604069001"), key}, options...)...)
	for _, r := range []struct{ path, id, summary string }{
		{"/to", "sendMessage", "Send a message: pushed, or as an SMS where no device answers"},
		{"/app", "sendToApp", "Send a message that never becomes an SMS"},
		{"/sms", "sendSMS", "Send a message as an SMS at once"},
	} {
		add(r.path+"/{address}", r.id, r.summary, text, append([]*huma.Param{template, key}, options...)...)
		add(r.path+"/{address}/{key}", r.id+"WithKey", r.summary, text, append([]*huma.Param{template}, options...)...)
	}
}

func stringParam(name, in, doc, example string) *huma.Param {
	return &huma.Param{Name: name, In: in, Description: doc, Required: in == "path", Example: example, Schema: &huma.Schema{Type: huma.TypeString}}
}

func enumParam(name, doc string, values ...any) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeString, Enum: values}}
}

// bodies describes a body that is an object, or as it is.
func bodies(site *site, object reflect.Type, types ...string) *huma.RequestBody {
	schemas := site.huma.OpenAPI().Components.Schemas
	b := &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
	for _, t := range types {
		schema := schemas.Schema(object, true, "")
		switch t {
		case "text/plain":
			schema = &huma.Schema{Type: huma.TypeString}
		case "application/octet-stream":
			schema = &huma.Schema{Type: huma.TypeString, Format: "binary"}
		}
		b.Content[t] = &huma.MediaType{Schema: schema}
	}
	return b
}

// sentOrProblem are the answers of a send.
func sentOrProblem(site *site) map[string]*huma.Response {
	all := answers("202", http.StatusText(http.StatusAccepted), "application/json")
	all["202"].Content["application/json"].Schema = site.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Sent](), true, "")
	return all
}
