package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/config"
)

// A listed is a node or a profile as lists have it.
type listed struct {
	name     string
	comment  string
	profiles []string
	settings *fleet.Settings
	values   iter.Seq2[string, string]
	state    string // of a node
	view     any    // for json and yaml
}

// A listing is what a list shows of each object.
type listing struct {
	head []string
	// lines returns the lines of cells of one object, without its name; at least one. "" is a cell of nothing.
	lines func(*listed) [][]string
}

// listFlags say what a list shows.
type listFlags struct {
	fields         []string
	all, net, ipmi bool
}

func (o *listFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&o.fields, "fields", nil, "`names` of fields to show, such as image,rack,interfaces.*.ip")
	f.BoolVarP(&o.all, "all", "a", false, "show all that is said, and who says it")
	f.BoolVarP(&o.net, "net", "n", false, "show network interfaces")
	f.BoolVarP(&o.ipmi, "ipmi", "i", false, "show board management controllers")
	c.MarkFlagsMutuallyExclusive("fields", "all", "net", "ipmi")
	completeFlag(c, "fields", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return mapped(fleet.Fields(), func(f fleet.Field) string { return f.Path }), cobra.ShellCompDirectiveNoFileComp
	})
}

// listing returns what the flags ask for; otherwise is what no flag asks for.
func (o *listFlags) listing(otherwise listing) (listing, error) {
	switch {
	case o.net:
		return netListing(), nil
	case o.ipmi:
		return ipmiListing(), nil
	case len(o.fields) > 0:
		return fieldListing(o.fields)
	}
	return otherwise, nil
}

func netListing() listing {
	return listing{[]string{"INTERFACE", "DEVICE", "TYPE", "MAC", "IP", "NETMASK", "GATEWAY"}, func(n *listed) [][]string {
		var lines [][]string
		for _, i := range n.settings.Interfaces {
			lines = append(lines, []string{i.Name, i.Device, i.Type, i.MAC.String(), addressText(i.IP), i.Netmask.String(), addressText(i.Gateway)})
		}
		return orLine(lines, 7)
	}}
}

func ipmiListing() listing {
	return listing{[]string{"ADDRESS", "NETMASK", "GATEWAY", "VLAN", "USER", "DRIVER", "PORT", "WRITE"}, func(n *listed) [][]string {
		b := n.settings.BMC
		write := ""
		if b.Write != nil {
			write = strconv.FormatBool(*b.Write)
		}
		number := func(n int) string {
			if n == 0 {
				return ""
			}
			return strconv.Itoa(n)
		}
		return [][]string{{addressText(b.Address), b.Netmask.String(), addressText(b.Gateway), number(b.VLAN), b.User, b.Driver, number(b.Port), write}}
	}}
}

// fieldListing shows fields by their paths. A path with "*" shows all of its kind.
func fieldListing(fields []string) (listing, error) {
	known := map[string]bool{"state": true}
	other := map[string]string{}
	for _, f := range fleet.Fields() {
		known[f.Path] = true
		other[f.Warewulf] = f.Path
	}
	paths := make([]string, len(fields))
	for i, field := range fields {
		path := strings.TrimSpace(field)
		if p := other[path]; path != "" && p != "" {
			path = p
		}
		if _, ok := fleet.FieldOf(path); !ok && !known[path] {
			return listing{}, unknownField(path)
		}
		paths[i] = path
	}
	patterns := map[string]string{} // of the paths seen so far
	return listing{mapped(paths, strings.ToUpper), func(n *listed) [][]string {
		cells := make([]string, len(paths))
		for path, value := range n.values {
			pattern, seen := patterns[path]
			if !seen {
				f, _ := fleet.FieldOf(path)
				pattern = f.Path
				patterns[path] = pattern
			}
			for i, p := range paths {
				switch {
				case p == path:
					cells[i] = value
				case p == pattern:
					cells[i] = strings.TrimPrefix(cells[i]+" "+namesIn(p, path)+"="+value, " ")
				}
			}
		}
		if at := slices.Index(paths, "state"); at >= 0 {
			cells[at] = n.state
		}
		return [][]string{cells}
	}}, nil
}

// unknownField says that --fields names a field that there is not, and which was probably meant.
func unknownField(path string) error {
	err := usagef("--fields: %q is no field of a node or a profile", path)
	if near := config.Nearest(path, mapped(fleet.Fields(), func(f fleet.Field) string { return f.Path })); near != "" {
		return fmt.Errorf("%w; did you mean %s?", err, near)
	}
	return fmt.Errorf("%w; press Tab for those that are", err)
}

// namesIn returns what stands in path for each "*" of its pattern, with dots between.
func namesIn(pattern, path string) string {
	literals := strings.Split(pattern, "*")
	rest := strings.TrimPrefix(path, literals[0])
	var names []string
	for _, literal := range literals[1:] {
		end := len(rest)
		if literal != "" {
			end = max(0, strings.Index(rest, literal))
		}
		names = append(names, rest[:end])
		rest = strings.TrimPrefix(rest[end:], literal)
	}
	return strings.Join(names, ".")
}

// whyListing shows who says what; why has it by the names of nodes.
func whyListing(why map[string][]fleet.Provenance) listing {
	return listing{[]string{"FIELD", "VALUE", "SOURCE", "SUPERSEDED"}, func(n *listed) [][]string {
		var lines [][]string
		for _, p := range why[n.name] {
			lines = append(lines, provenanceCells(p))
		}
		return orLine(lines, 4)
	}}
}

func provenanceCells(p fleet.Provenance) []string {
	superseded := mapped(p.Superseded, func(s fleet.Setting) string { return s.Value + " (" + s.Source + ")" })
	return []string{p.Field, p.Value, p.Source, strings.Join(superseded, ", ")}
}

// ownListing shows what objects say themselves.
func ownListing() listing {
	return listing{[]string{"FIELD", "VALUE"}, func(n *listed) [][]string {
		var lines [][]string
		for path, value := range n.values {
			lines = append(lines, []string{path, value})
		}
		return orLine(lines, 2)
	}}
}

// dashes returns cells that all hold something.
func dashes(cells ...string) []string { return mapped(cells, orDash) }

// orLine returns lines, or an empty one if there are none.
func orLine(lines [][]string, cells int) [][]string {
	if len(lines) > 0 {
		return lines
	}
	return [][]string{make([]string, cells)}
}

// printList prints a list in the form that --output asks for. Objects that show the same share a line.
func (g *global) printList(w io.Writer, of noun, all []listed, l listing, fields []string) error {
	v := view{
		names: mapped(all, func(n listed) string { return n.name }),
		table: func() table { return foldedTable(of, all, l) },
		rows:  func() table { return unfoldedTable(all, l) },
	}
	if len(fields) == 0 {
		v.data = mapped(all, func(n listed) any { return n.view })
	} else if g.output == "json" || g.output == "yaml" {
		v.data = mapped(all, func(n listed) map[string]string {
			out := map[string]string{"name": n.name}
			for i, cell := range l.lines(&n)[0] {
				if cell != "" {
					out[fields[i]] = cell
				}
			}
			return out
		})
	}
	return g.print(w, v)
}

// foldedTable shows objects by what is shown of them, in the order of the first of each kind.
func foldedTable(of noun, all []listed, l listing) table {
	t := table{head: append([]string{"NAME"}, l.head...)}
	var order []string
	alike := map[string][]string{}
	shown := map[string][][]string{}
	for i := range all {
		lines := l.lines(&all[i])
		key := keyOf(lines)
		if alike[key] == nil {
			order = append(order, key)
			shown[key] = lines
		}
		alike[key] = append(alike[key], all[i].name)
	}
	for _, key := range order {
		name := of.fold(alike[key])
		for _, cells := range shown[key] {
			t.add(append([]string{name}, dashes(cells...)...)...)
			name = ""
		}
	}
	return t
}

// keyOf returns a text that is equal for equal lines.
func keyOf(lines [][]string) string {
	var b strings.Builder
	for _, cells := range lines {
		for _, cell := range cells {
			b.WriteString(cell)
			b.WriteByte(0) // no cell holds one
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// unfoldedTable has the name of its object in each line.
func unfoldedTable(all []listed, l listing) table {
	t := table{head: mapped(append([]string{"NAME"}, l.head...), strings.ToLower)}
	for i := range all {
		for _, cells := range l.lines(&all[i]) {
			t.add(append([]string{all[i].name}, cells...)...)
		}
	}
	return t
}

func listedNode(n *api.NodeView, now time.Time) listed {
	return listed{name: n.Name, comment: n.Comment, profiles: n.Profiles, settings: &n.Settings, values: n.Node.Values(), state: nodeState(*n, now), view: *n}
}

// whyAll returns who says what for each of some nodes; of many, for all that there are.
func whyAll(ctx context.Context, c *api.Client, all []listed) (map[string][]fleet.Provenance, error) {
	out := make(map[string][]fleet.Provenance, len(all))
	if len(all) <= maxSingle {
		for i := range all {
			why, err := c.Why(ctx, all[i].name)
			if err != nil {
				return nil, fmt.Errorf("why %s is as it is: %w", all[i].name, err)
			}
			out[all[i].name] = why
		}
		return out, nil
	}
	for last := ""; ; {
		page, err := c.WhyAfter(ctx, last)
		if err != nil {
			return nil, fmt.Errorf("why nodes are as they are: %w", err)
		}
		for _, n := range page {
			out[n.Name], last = n.Values, n.Name
		}
		if len(page) < api.WhyPage {
			return out, nil
		}
	}
}
