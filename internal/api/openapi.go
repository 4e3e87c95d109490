package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"
)

// A document describes the routes in OpenAPI 3.1, as JSON. It is made from the table of routes and the types of their
// bodies, and from nothing else.
type document struct {
	OpenAPI    string                          `json:"openapi"`
	Info       documentInfo                    `json:"info"`
	Paths      map[string]map[string]operation `json:"paths"` // by path and method
	Components components                      `json:"components"`
}

type documentInfo struct {
	Title       string `json:"title"`
	Version     string `json:"version"` // of the API, not of the program
	Description string `json:"description"`
}

type components struct {
	Schemas         map[string]*schema           `json:"schemas"`
	SecuritySchemes map[string]map[string]string `json:"securitySchemes"`
}

// An operation is one route.
type operation struct {
	ID          string                    `json:"operationId"`
	Summary     string                    `json:"summary"`
	Tags        []string                  `json:"tags"`
	Security    []map[string][]string     `json:"security"`
	Parameters  []parameter               `json:"parameters,omitempty"`
	RequestBody *content                  `json:"requestBody,omitempty"`
	Responses   map[string]documentAnswer `json:"responses"`
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"` // path, query or header
	Description string  `json:"description"`
	Required    bool    `json:"required,omitempty"`
	Schema      *schema `json:"schema"`
}

type content struct {
	Required bool                 `json:"required"`
	Content  map[string]mediaType `json:"content"`
}

type mediaType struct {
	Schema *schema `json:"schema"`
}

type documentAnswer struct {
	Description string               `json:"description"`
	Headers     map[string]mediaType `json:"headers,omitempty"`
	Content     map[string]mediaType `json:"content"`
}

// apiVersion is that of the paths that begin with /v1.
const apiVersion = "1"

// certificateScheme is what a document calls the way in.
const certificateScheme = "certificate"

const documentWords = `The API of a Samara controller, over TLS with a client certificate, or over the local socket. ` +
	`The role in the certificate, viewer, operator or admin, includes those before it. ` +
	`Every answer has the revision of the state that it was given from in the header ` + RevisionHeader + `. ` +
	`A controller that is busy says so with status 503 and Retry-After. ` +
	`An answer may have fields that this document lacks, if the controller is newer; a request may not. ` +
	`Routes tagged controllers and nodes are for those alone, and may change with any release.`

func (s *Server) openAPI(context.Context, *request, none) (document, error) {
	return s.described(), nil
}

// describe returns the document of routes.
func describe(routes []route) document {
	types := newTypeWriter()
	d := document{
		OpenAPI: "3.1.0",
		Info:    documentInfo{Title: "Samara", Version: apiVersion, Description: documentWords},
		Paths:   map[string]map[string]operation{},
		Components: components{Schemas: types.named, SecuritySchemes: map[string]map[string]string{
			certificateScheme: {"type": "mutualTLS", "description": "a certificate that the cluster's authority issued for the role"},
		}},
	}
	failure := types.of(reflect.TypeFor[errorBody]())
	for _, c := range codes() {
		code := types.named["ErrorBody"].Properties["code"]
		code.Enum = append(code.Enum, c.name)
	}
	for _, r := range routes {
		op := operation{ID: operationID(r), Summary: r.doc, Tags: []string{tagsOf(r.allow)}, Parameters: parametersOf(r), Security: []map[string][]string{{}}}
		if r.allow != anyone {
			op.Security = []map[string][]string{{certificateScheme: {r.allow.String()}}}
		}
		if r.request != reflect.TypeFor[none]() {
			op.RequestBody = &content{Required: true, Content: types.media(r.request)}
		}
		op.Responses = map[string]documentAnswer{
			"200":     {Description: "done", Headers: headersOf(r), Content: types.media(r.response)},
			"default": {Description: "refused; the code says why", Content: map[string]mediaType{jsonType: {failure}}},
		}
		path := d.Paths[r.pattern]
		if path == nil {
			path = map[string]operation{}
			d.Paths[r.pattern] = path
		}
		path[strings.ToLower(r.method)] = op
	}
	return d
}

// operationID names a route: "get_nodes_node_why".
func operationID(r route) string {
	words := strings.FieldsFunc(strings.TrimPrefix(r.pattern, "/v1/"), func(c rune) bool { return strings.ContainsRune("/{}.", c) })
	return strings.ToLower(r.method) + "_" + strings.Join(words, "_")
}

func tagsOf(p permission) string {
	switch p {
	case nodes, controllers:
		return p.String() + "s"
	}
	return "people"
}

// headersOf returns what an answer has beside its body.
func headersOf(r route) map[string]mediaType {
	text := mediaType{&schema{Type: "string"}}
	h := map[string]mediaType{RevisionHeader: text}
	if r.reads == chosen {
		h["ETag"] = text
	}
	for _, name := range r.query {
		if name == limitParam {
			h["Link"] = text
		}
	}
	return h
}

// parametersOf returns what can be said of a route beside its body.
func parametersOf(r route) []parameter {
	var out []parameter
	for part := range strings.SplitSeq(r.pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			out = append(out, parameter{Name: name, In: "path", Description: "the name of the " + name, Required: true, Schema: &schema{Type: "string"}})
		}
	}
	names := r.query
	if r.reads == chosen {
		names = append([]string{consistencyParam}, names...)
	}
	if r.changes {
		names = append([]string{dryRunParam, whyParam, ifParam}, names...)
		out = append(out, parameter{Name: ifMatchHeader, In: "header", Description: "an ETag as an answer gave it: the change is made if what that told has not changed", Schema: &schema{Type: "string"}})
	}
	if r.method != http.MethodGet && r.allow.forPeople() {
		out = append(out, parameter{Name: RequestHeader, In: "header", Description: "an id of the request: asked for again with one id, a change is made once", Schema: &schema{Type: "string"}})
	}
	for _, name := range names {
		out = append(out, queryParameter(name))
	}
	return out
}

// queryParameter describes a parameter of a query, which means the same wherever it is taken.
func queryParameter(name string) parameter {
	flag := func(doc string) parameter {
		return parameter{Description: doc, Schema: &schema{Type: "string", Enum: []string{"1"}}}
	}
	text := func(doc string) parameter { return parameter{Description: doc, Schema: &schema{Type: "string"}} }
	number := func(doc string) parameter { return parameter{Description: doc, Schema: &schema{Type: "integer"}} }
	p := map[string]parameter{
		afterParam:    text("that after which to tell: of nodes a name, of a watch a revision, of observations a mark"),
		beforeParam:   number("the revision before which to tell"),
		blobsParam:    flag("with what images need, too"),
		dryRunParam:   flag("say what would change, and change nothing, which viewers may ask for, too"),
		firmwareParam: flag("put the image's firmware of network cards into the initramfs"),
		forceParam:    flag("whatever that costs"),
		fromParam:     number("the revision that came first"),
		ifParam:       text("KIND/NAME@REVISION, cluster@REVISION or state@REVISION, which must be so; more than once if need be"),
		limitParam:    number("at most that many"),
		resolvedParam: flag("with what profiles say"),
		revisionParam: number("as of that revision"),
		toParam:       number("the revision that came later; now, if there is none"),
		sourceParam:   text("what the user calls the source of the stream"),
		whyParam:      text("a message for the audit record"),
		consistencyParam: {Description: "what the answer promises",
			Schema: &schema{Type: "string", Enum: []string{string(Stale), string(Default), string(Linearizable)}}},
	}[name]
	p.Name, p.In = name, "query"
	return p
}
