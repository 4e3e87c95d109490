package config

import (
	"strconv"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config/yaml"
)

// String returns FILE:LINE:COLUMN.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// places says where objects stand. The nodes of a range share theirs.
type places map[fleet.Ref]*placed

// A placed is where one object stands, and what it says.
type placed struct {
	position Position
	fields   []mark // in the order of the file
}

// A mark is where one field stands in the file of its object.
type mark struct {
	pattern      string    // the field's path
	names        [2]string // that stand for its "*"; no path has more of them
	line, column int32
}

// path returns the path of the field with the names in it.
func (m mark) path() string {
	path := m.pattern
	for _, name := range m.names {
		path = strings.Replace(path, "*", quoteName(name), 1)
	}
	return path
}

// Where returns where the documents say a field of an object: path is as Node.Values has it, such as
// "interfaces.default.mac". If they do not say that, it is the place of what is nearest above it: the object itself, if
// path is "". It returns false if the documents do not have the object, or were not read by Parse.
func (d Documents) Where(kind, name, path string) (Position, bool) {
	of, ok := d.places[fleet.Ref{Kind: kind, Name: name}]
	if !ok {
		return Position{}, false
	}
	for path != "" {
		for _, m := range of.fields {
			if at := m.path(); at == path || strings.HasPrefix(at, path+".") {
				return Position{of.position.File, int(m.line), int(m.column)}, true
			}
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return of.position, true
}

// mark remembers where the present object says a field, whose path has "*" for the names of p.names.
func (p *parse) mark(path string, key *yaml.Node) {
	if p.silent {
		return
	}
	m := mark{pattern: path, line: key.Line, column: key.Column}
	copy(m.names[:], p.names)
	p.present.fields = append(p.present.fields, m)
}

// quoteName writes a name as it stands in the path of a field: see fleet.Field.
func quoteName(name string) string {
	if name == "" || strings.ContainsAny(name, ". \"") {
		return strconv.Quote(name)
	}
	return name
}
