package warewulf

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/config"
)

// maxFaults bounds what is said of one file.
const maxFaults = 100

// A column is one field of nodes in a table.
type column struct {
	head  string
	field fleet.Field
	path  []string // with names
}

// ReadCSV reads nodes of a table of comma-separated values (RFC 4180): a row with the names of columns, then a row for
// each node. One column is "name"; the others are fields of nodes by their paths, such as rack, interfaces.default.mac or
// tags.owner, or by Warewulf's. A field of an interface by itself, such as mac, is that of the interface default. An empty
// cell says nothing. The error is config.Faults if it is of the file.
func ReadCSV(file string, data []byte) (Site, error) {
	if len(data) > maxFile {
		return Site{}, fmt.Errorf("%s: %d bytes, at most %d are read", file, len(data), maxFile)
	}
	t := table{file: file, rows: csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))}
	t.rows.Comment, t.rows.TrimLeadingSpace, t.rows.ReuseRecord = '#', true, true
	site := Site{places: map[place]config.Position{}}
	columns, err := t.columns()
	if err != nil {
		return Site{}, err
	}
	for len(t.faults) < maxFaults {
		row, err := t.rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var at *csv.ParseError
			if errors.As(err, &at) {
				t.faults = append(t.faults, config.Fault{Position: config.Position{File: file, Line: at.Line, Column: max(1, at.Column)}, What: at.Err.Error()})
				break
			}
			return Site{}, fmt.Errorf("%s: %w", file, err)
		}
		line, _ := t.rows.FieldPos(0)
		n := t.node(columns, row)
		of := place{ref{fleet.ObjectNode, n.Name}, ""}
		if before, again := site.places[of]; again {
			t.fault(line, 0, "name", fmt.Sprintf("node %s stands in line %d already", n.Name, before.Line), "")
		}
		site.places[of] = config.Position{File: file, Line: line, Column: 1}
		site.Documents.Nodes = append(site.Documents.Nodes, n)
		if len(site.Documents.Nodes) > maxNodes {
			t.fault(line, 0, "", fmt.Sprintf("more than %d nodes", maxNodes), "")
			break
		}
	}
	if len(t.faults) > 0 {
		return Site{}, t.faults
	}
	nodes := site.Documents.Nodes
	slices.SortFunc(nodes, func(a, b fleet.Node) int { return hostlist.Compare(a.Name, b.Name) })
	for _, c := range columns {
		site.Report.Findings = append(site.Report.Findings, Finding{Outcome: Taken, File: file, Line: 1, Count: len(nodes), Field: c.head, Text: strings.Join(c.path, ".")})
	}
	return site, nil
}

// A table is a file that is read, and what is wrong with it.
type table struct {
	file   string
	rows   *csv.Reader
	faults config.Faults
}

// fault records what is wrong with a cell of the row that was read last.
func (t *table) fault(line, at int, field, what, meant string) {
	_, column := t.rows.FieldPos(at)
	t.faults = append(t.faults, config.Fault{Position: config.Position{File: t.file, Line: line, Column: column}, Field: field, What: what, Meant: meant})
}

// columns reads the first row.
func (t *table) columns() ([]column, error) {
	head, err := t.rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w table: it is empty; want a row with the names of columns", t.file, fleet.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: want a row with the names of columns: %w", t.file, err)
	}
	var all []column
	seen := map[string]bool{}
	line, _ := t.rows.FieldPos(0)
	fields := fleet.Fields()
	for at, h := range head {
		h = strings.TrimSpace(h)
		c, meant, ok := columnOf(fields, h)
		path := strings.Join(c.path, ".")
		switch {
		case !ok:
			t.fault(line, at, h, "there is no such field of nodes", meant)
		case seen[path]:
			t.fault(line, at, h, "two columns for one field", "")
		}
		seen[path] = true
		all = append(all, c)
	}
	if !seen["name"] {
		t.fault(line, 0, "", "want a column with the names of nodes", "name")
	}
	if len(t.faults) > 0 {
		return nil, t.faults
	}
	return all, nil
}

// columnOf returns the column with that head; or, if there is none, what was probably meant.
func columnOf(fields []fleet.Field, head string) (column, string, bool) {
	if head == "name" || head == "node" {
		return column{head: head, path: []string{"name"}, field: fleet.Field{Path: "name", Kind: fleet.KindText}}, "", true
	}
	meant := ""
	for _, given := range []string{head, "interfaces.default." + head, "network devices.default." + head} {
		for _, f := range fields {
			for _, pattern := range []string{f.Path, f.Warewulf} {
				names, ok := matches(pattern, given)
				if !ok {
					if meant == "" && near(given, pattern) {
						meant = pattern
					}
					continue
				}
				path := strings.Split(f.Path, ".")
				for i := range path {
					if path[i] == "*" {
						path[i], names = names[0], names[1:]
					}
				}
				return column{head: head, field: f, path: path}, "", true
			}
		}
	}
	return column{}, meant, false
}

// matches reports whether a path is one of a pattern, and what stands in the place of each "*". The last takes all the rest.
func matches(pattern, path string) ([]string, bool) {
	if pattern == "" {
		return nil, false
	}
	parts := strings.Split(pattern, ".")
	words := strings.SplitN(path, ".", len(parts))
	if len(words) != len(parts) || parts[len(parts)-1] != "*" && strings.Contains(words[len(words)-1], ".") {
		return nil, false
	}
	var names []string
	for i, p := range parts {
		switch {
		case p == "*" && words[i] != "":
			names = append(names, words[i])
		case p != words[i]:
			return nil, false
		}
	}
	return names, true
}

// node returns the node of one row.
func (t *table) node(columns []column, row []string) fleet.Node {
	var n fleet.Node
	whole := map[string]any{}
	for at, cell := range row {
		c := columns[at]
		if cell = strings.TrimSpace(cell); cell == "" && c.field.Path != "name" {
			continue
		}
		v, err := cellValue(c.field, cell)
		if err == nil {
			alone := map[string]any{}
			put(alone, c.path, v)
			var try fleet.Node
			err = decodeNode(alone, &try)
		}
		if err == nil && c.field.Path == "name" {
			err = fleet.CheckName("node", cell)
		}
		if err != nil {
			line, _ := t.rows.FieldPos(at)
			t.fault(line, at, c.head, err.Error(), "")
			continue
		}
		put(whole, c.path, v)
	}
	if err := decodeNode(whole, &n); err != nil {
		line, _ := t.rows.FieldPos(0)
		t.fault(line, 0, "", err.Error(), "")
	}
	return n
}

// cellValue returns what encoding/json makes the value of a field of, given its text.
func cellValue(f fleet.Field, text string) (any, error) {
	switch {
	case f.Secret:
		return fleet.Secret(text), nil
	case f.Kind == fleet.KindNumber:
		if !json.Valid([]byte(text)) {
			return nil, fmt.Errorf("%.40q is no number", text)
		}
		return json.Number(text), nil
	case f.Kind == fleet.KindBool:
		yes, err := parseTruth(text)
		if err != nil {
			return nil, fmt.Errorf("%.40q is neither true nor false", text)
		}
		return yes, nil
	case f.Kind == fleet.KindList:
		return strings.Fields(text), nil
	case f.Kind == fleet.KindNetmask:
		return parseMask(text)
	case f.Kind == fleet.KindValue:
		if json.Valid([]byte(text)) {
			return json.RawMessage(text), nil
		}
	}
	return text, nil
}

// put sets what a tree has at a path.
func put(tree map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		below, ok := tree[name].(map[string]any)
		if !ok {
			below = map[string]any{}
			tree[name] = below
		}
		tree = below
	}
	tree[path[len(path)-1]] = v
}

// named are the parts of a node that JSON has as lists, and which field of an item is its name.
var named = map[string]string{"interfaces": "name", "disks": "device", "filesystems": "device", "partitions": "label"}

// listed returns a tree with lists in the place of maps by names.
func listed(tree map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range tree {
		below, ok := v.(map[string]any)
		if !ok {
			out[key] = v
			continue
		}
		name, isList := named[key]
		if !isList {
			out[key] = listed(below)
			continue
		}
		var items []any
		for _, of := range sortedKeys(below) {
			item, ok := below[of].(map[string]any)
			if !ok {
				continue
			}
			item = listed(item)
			item[name] = of
			items = append(items, item)
		}
		out[key] = items
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func decodeNode(tree map[string]any, to *fleet.Node) error {
	b, err := json.Marshal(listed(tree))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}
