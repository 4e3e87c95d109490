package api

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A schema describes a JSON value, in JSON Schema 2020-12. The zero value is any.
type schema struct {
	Ref                  string             `json:"$ref,omitempty"`
	Type                 any                `json:"type,omitempty"` // a name, or several
	Format               string             `json:"format,omitempty"`
	ContentEncoding      string             `json:"contentEncoding,omitempty"`
	Description          string             `json:"description,omitempty"`
	WriteOnly            bool               `json:"writeOnly,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Properties           map[string]*schema `json:"properties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	Items                *schema            `json:"items,omitempty"`
	AdditionalProperties *schema            `json:"additionalProperties,omitempty"`
}

// schemaPath is where a document has the schemas of structs.
const schemaPath = "#/components/schemas/"

// A typeWriter describes Go types as encoding/json encodes them.
type typeWriter struct {
	named map[string]*schema
	names map[reflect.Type]string
	docs  map[fieldOf]fleet.Field
}

// A fieldOf is a field of a struct, by its name in JSON.
type fieldOf struct {
	of   reflect.Type
	name string
}

func newTypeWriter() *typeWriter {
	return &typeWriter{named: map[string]*schema{}, names: map[reflect.Type]string{}, docs: fieldRows()}
}

// fieldRows returns the rows of the table of fields by the fields of the structs that hold them.
func fieldRows() map[fieldOf]fleet.Field {
	docs := map[fieldOf]fleet.Field{}
	for _, f := range fleet.Fields() {
		for _, t := range []reflect.Type{reflect.TypeFor[fleet.Node](), reflect.TypeFor[fleet.Profile]()} {
			parts := strings.Split(f.Path, ".")
			for at, part := range parts {
				if part == "*" {
					if t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
						t = t.Elem()
					}
					continue
				}
				field, ok := jsonField(t, part)
				if !ok {
					break // a profile has not all that a node has
				}
				if rest := parts[at+1:]; len(rest) == 0 || len(rest) == 1 && rest[0] == "*" {
					docs[fieldOf{ownerOf(t, field), part}] = f
				}
				t = field.Type
			}
		}
	}
	return docs
}

// jsonField returns the field of a struct that has that name in JSON.
func jsonField(t reflect.Type, name string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	for _, f := range reflect.VisibleFields(t) {
		if got, _, _ := strings.Cut(f.Tag.Get("json"), ","); got == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// media returns how a body of type t travels.
func (w *typeWriter) media(t reflect.Type) map[string]mediaType {
	bytes := &schema{Type: "string", Format: "binary"}
	switch t {
	case reflect.TypeFor[stream]():
		return map[string]mediaType{octetType: {bytes}}
	case reflect.TypeFor[torrentFile]():
		return map[string]mediaType{torrentType: {bytes}}
	case reflect.TypeFor[exposition]():
		return map[string]mediaType{metricsType: {&schema{Type: "string"}}}
	case reflect.TypeFor[importBody]():
		return map[string]mediaType{jsonType: {w.of(t)}, tarType: {bytes}}
	case reflect.TypeFor[importLine](), reflect.TypeFor[pullLine]():
		return map[string]mediaType{linesType: {w.of(t)}}
	case reflect.TypeFor[WatchLine]():
		return map[string]mediaType{linesType: {w.of(t)}, eventsType: {w.of(t)}}
	case reflect.TypeFor[document]():
		return map[string]mediaType{jsonType: {&schema{Type: "object"}}}
	}
	return map[string]mediaType{jsonType: {w.of(t)}}
}

// of returns the schema of t. That of a struct is a reference to a component.
func (w *typeWriter) of(t reflect.Type) *schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[time.Duration]():
		return &schema{Type: "integer", Format: "int64", Description: "nanoseconds"}
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.AddrPort](), reflect.TypeFor[netip.Prefix]():
		return &schema{Type: "string"}
	case reflect.TypeFor[fleet.Secret]():
		return &schema{Type: "string", ContentEncoding: "base64"}
	case reflect.TypeFor[fleet.DHCPMode]():
		return &schema{Type: "string", Enum: []string{string(fleet.DHCPFull), string(fleet.DHCPProxy), string(fleet.DHCPOff)}}
	}
	switch {
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return &schema{Type: "string"}
	case t.Implements(reflect.TypeFor[json.Marshaler]()):
		return &schema{} // whatever it likes
	}
	return w.byKind(t)
}

func (w *typeWriter) byKind(t reflect.Type) *schema {
	switch t.Kind() {
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int64, reflect.Uint64, reflect.Int, reflect.Uint:
		return &schema{Type: "integer", Format: "int64"}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return &schema{Type: "integer"}
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &schema{Type: "string", ContentEncoding: "base64"}
		}
		return &schema{Type: "array", Items: w.of(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", AdditionalProperties: w.of(t.Elem())}
	case reflect.Struct:
		return &schema{Ref: schemaPath + w.component(t)}
	}
	return &schema{}
}

// component writes the schema of a struct, if it is not there yet, and returns its name.
func (w *typeWriter) component(t reflect.Type) string {
	if name, known := w.names[t]; known {
		return name
	}
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if _, taken := w.named[name]; taken { // by a type of another package
		pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	s := &schema{Type: "object", Properties: map[string]*schema{}}
	w.names[t], w.named[name] = name, s // before its fields, which may lead back to it
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || tag == "-" || f.Anonymous && tag == "" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		s.Properties[tag] = w.property(t, f, tag, optional)
		if !optional {
			s.Required = append(s.Required, tag)
		}
	}
	return name
}

// property returns the schema of a field of t.
func (w *typeWriter) property(t reflect.Type, f reflect.StructField, tag string, optional bool) *schema {
	p := w.of(f.Type)
	if name, ok := p.Type.(string); ok && !optional && (f.Type.Kind() == reflect.Slice || f.Type.Kind() == reflect.Map) {
		p.Type = []string{name, "null"} // as Go writes one that was never made
	}
	if doc, known := w.docs[fieldOf{ownerOf(t, f), tag}]; known {
		p.Description, p.WriteOnly = doc.Doc, doc.Secret
		if doc.Needs != fleet.NeedsNothing {
			p.Description += " (a change needs a " + doc.Needs.String() + ")"
		}
	}
	return p
}

// ownerOf returns the struct in t that f comes from: t, or one that is embedded in it.
func ownerOf(t reflect.Type, f reflect.StructField) reflect.Type {
	for _, at := range f.Index[:len(f.Index)-1] {
		t = t.Field(at).Type
	}
	return t
}
