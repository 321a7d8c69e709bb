package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
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

// withStatus documents a further answer of an operation, with the body of success.
func withStatus(op huma.Operation, status int, means string) huma.Operation {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses[strconv.Itoa(status)] = &huma.Response{Description: means}
	return op
}

// describe returns the description of a site's operations and plain routes, as JSON.
func (a *API) describe(s *site) ([]byte, error) {
	return json.Marshal(s.huma.OpenAPI())
}

// serveOpenAPI answers /openapi.json.
func (a *API) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.spec)
}

// registry makes schemas of our types. What huma says of errors is a Problem here: so no global of huma's need be set.
func registry() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	r.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	return r
}
