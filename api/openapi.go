package api

import (
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-7a41469f/godwit/delivery"
)

// Tags of operations.
const (
	tagSend     = "send"
	tagMessages = "messages"
	tagOperator = "operator"
	tagCarriers = "carriers"
	tagProbes   = "probes"
)

// Ways to prove who one is.
const (
	schemeBasic  = "basic"
	schemeBearer = "bearer"
	schemeAdmin  = "admin"
)

// description is what the OpenAPI 3.1 description begins with.
func description(publicURL, version string) *huma.OpenAPI {
	if version == "" {
		version = "devel"
	}
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Godwit", Version: version, License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			Description: "Messages to phone numbers: pushed to the app, sent as an SMS where no device answers. Errors are problem details (RFC 9457); their type is a page of the documentation.",
		},
		Servers: []*huma.Server{{URL: publicURL}},
		Tags: []*huma.Tag{
			{Name: tagSend, Description: "Send messages."}, {Name: tagMessages, Description: "One's own messages."}, {Name: tagOperator, Description: "For the operator."},
			{Name: tagCarriers, Description: "What SMS gateways call."}, {Name: tagProbes, Description: "Probes and metrics."},
		},
		Components: &huma.Components{
			Schemas: registry(),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				schemeBasic:  {Type: "http", Scheme: "basic", Description: "Address and token."},
				schemeBearer: {Type: "http", Scheme: "bearer", Description: "A token that the broker issued, or a JWT where its key is configured."},
				schemeAdmin:  {Type: "http", Scheme: "bearer", Description: "The token of admin.token; the operator's socket needs none."},
			},
		},
	}
}

// withStatus documents a further answer of an operation, whose body is of a named schema.
func withStatus(op huma.Operation, status int, means, schema string) huma.Operation {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses[strconv.Itoa(status)] = &huma.Response{
		Description: means, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/" + schema}}},
	}
	return op
}

// spec is the description of a site, as JSON, with the plain routes that are the same in every broker.
func (s *site) spec() ([]byte, error) {
	doc := s.huma.OpenAPI()
	for _, op := range plain() {
		doc.AddOperation(&op)
	}
	closed(doc.Components.Schemas.Map())
	grown(doc)
	return json.Marshal(doc)
}

// grown lets what we answer have further fields one day; what we are asked has none but those that are known.
func grown(doc *huma.OpenAPI) {
	asked := map[string]bool{}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete, item.Patch} {
			if op == nil || op.RequestBody == nil {
				continue
			}
			for _, media := range op.RequestBody.Content {
				if media.Schema != nil {
					asked[path.Base(media.Schema.Ref)] = true
				}
			}
		}
	}
	for name, schema := range doc.Components.Schemas.Map() {
		if !asked[name] {
			schema.AdditionalProperties = nil
		}
	}
}

// plain describes the routes that are no JSON operations.
func plain() []huma.Operation {
	mqtt := operation("GET /mqtt", "connectMQTT", tagSend, "MQTT over WebSocket")
	mqtt.Description = "A WebSocket (RFC 6455) of the subprotocol mqtt; the login is that of the CONNECT packet."
	mqtt.Responses = answers("101", "MQTT follows.", "")
	metrics := operation("GET /metrics", "getMetrics", tagProbes, "Metrics in Prometheus' text format; from this machine, or with the admin token")
	metrics.Security = []map[string][]string{{}, {schemeAdmin: {}}}
	metrics.Responses = answers("200", "The metrics.", "text/plain")
	all := []huma.Operation{mqtt, metrics}
	for _, c := range []struct{ route, id, summary string }{
		{"GET /gateway/{name}/dlr", "reportDeliveryByQuery", "A carrier's delivery report, in the query"},
		{"POST /gateway/{name}/dlr", "reportDelivery", "A carrier's delivery report"},
		{"GET /gateway/{name}/mo", "receiveSMSByQuery", "An SMS that came in, in the query"},
		{"POST /gateway/{name}/mo", "receiveSMS", "An SMS that came in"},
	} {
		op := operation(c.route, c.id, tagCarriers, c.summary)
		op.Description = "In the form of the carrier, who proves itself by a signature or by the parameter key; see the documentation of SMS."
		op.Parameters = []*huma.Param{
			{Name: "name", In: "path", Required: true, Description: "The gateway, as in the configuration.", Example: "kannel", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "key", In: "query", Description: "The callback secret.", Schema: &huma.Schema{Type: huma.TypeString}},
		}
		if op.Method == http.MethodPost {
			op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {}, "application/x-www-form-urlencoded": {}}}
		}
		op.Responses = answers("200", "It is durable: the carrier need not call again.", "")
		op.Responses["503"] = &huma.Response{Description: "Not now; call again."}
		all = append(all, op)
	}
	return all
}

// answers are those of a plain route: that of success, and a Problem.
func answers(status, means, contentType string) map[string]*huma.Response {
	success := &huma.Response{Description: means}
	if contentType != "" {
		success.Content = map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	return map[string]*huma.Response{
		status:    success,
		"default": {Description: "Error", Content: map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}}},
	}
}

// closed gives the words of closed lists to the schemas of messages, whose types know nothing of OpenAPI.
func closed(schemas map[string]*huma.Schema) {
	states := []any{}
	for s := delivery.Accepted; s <= delivery.Expired; s++ {
		states = append(states, s.String())
	}
	reasons := []any{}
	for _, r := range delivery.Reasons {
		reasons = append(reasons, string(r.Reason))
	}
	words := map[string][]any{"state": states, "reason": reasons, "via": {"push", "sms"}, "root": {"to", "app", "sms", "mo"}, "code": anyOf(Codes)}
	for _, schema := range schemas {
		for name, property := range schema.Properties {
			if list, ok := words[name]; ok && property.Type == huma.TypeString && property.Enum == nil {
				property.Enum = list
			}
			if (name == "at" || name == "created") && property.Type == huma.TypeString {
				property.Format = "date-time"
			}
		}
	}
}

func anyOf(words []string) (all []any) {
	for _, w := range words {
		all = append(all, w)
	}
	return all
}

// registry makes schemas of our types. What huma says of errors is a Problem here: so no global of huma's need be set.
func registry() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	r.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	return r
}
