package warewulf

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// A Report says what became of a site's files. It is the same for the same files.
type Report struct {
	Findings []Finding `json:"findings"` // by Outcome, file and line
}

// A Finding is one thing that was found in a file, or several of which the same is to be said.
type Finding struct {
	Outcome Outcome `json:"outcome"`
	File    string  `json:"file"`           // below the directory that was read
	Line    int     `json:"line,omitempty"` // the first, counted from 1; 0: the file as a whole
	Count   int     `json:"count"`          // how often
	Nodes   string  `json:"nodes,omitempty"`
	Objects string  `json:"objects,omitempty"` // other than nodes, such as "profile default"
	Field   string  `json:"field"`             // as Warewulf names it, "*" for names that the site chose
	Text    string  `json:"text"`
	Do      string  `json:"do,omitempty"` // what to do about it; "" for nothing
}

// An Outcome is what became of something.
type Outcome string

// The outcomes.
const (
	Taken Outcome = "taken" // it says the same here as there
	Fixed Outcome = "fixed" // it was put right, or is said in another way
	Left  Outcome = "left"  // it has no place here, or could not be read
	Moot  Outcome = "moot"  // it has no place here, and nothing is to be done about it
)

// Count returns how many findings there are of an outcome.
func (r Report) Count(o Outcome) int {
	n := 0
	for _, f := range r.Findings {
		if f.Outcome == o {
			n++
		}
	}
	return n
}

// WriteTo writes the report for people.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, part := range []struct {
		outcome Outcome
		title   string
	}{{Left, "Not taken"}, {Fixed, "Put right, or said in another way"}, {Taken, "Taken as it is"}, {Moot, "Not needed here"}} {
		if r.Count(part.outcome) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:\n", part.title)
		for _, f := range r.Findings {
			if f.Outcome == part.outcome {
				fmt.Fprintf(&b, "  %s\n", f)
				if f.Do != "" {
					fmt.Fprintf(&b, "      %s\n", f.Do)
				}
			}
		}
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// String returns the finding in one line, without what to do about it.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	switch of := join(f.Objects, f.Nodes); {
	case f.Outcome == Taken && f.Count > 1:
		fmt.Fprintf(&b, "%s: %s (%d times)", f.Field, f.Text, f.Count)
	case of != "":
		fmt.Fprintf(&b, "%s: %s: %s", of, f.Field, f.Text)
	default:
		fmt.Fprintf(&b, "%s: %s", f.Field, f.Text)
	}
	return b.String()
}

func join(objects, nodes string) string {
	switch {
	case nodes == "":
		return objects
	case objects == "":
		return "node " + nodes
	}
	return objects + ", node " + nodes
}

// A notebook gathers findings while a site is read.
type notebook struct {
	found map[Finding]*gathered
}

// A gathered is one finding of which there are several.
type gathered struct {
	line, count     int
	nodes, profiles []string
	said            map[string]bool // names in nodes and profiles
}

// maxShown is how many names of profiles one finding shows.
const maxShown = 10

// note records something that is said of an object, or of none. Two that differ in their lines or objects alone are one.
func (b *notebook) note(o Outcome, file string, line int, of ref, field, text, do string) {
	if b.found == nil {
		b.found = map[Finding]*gathered{}
	}
	key := Finding{Outcome: o, File: file, Field: field, Text: text, Do: do}
	g := b.found[key]
	if g == nil {
		g = &gathered{line: line, said: map[string]bool{}}
		b.found[key] = g
	}
	g.count++
	g.line = min(g.line, line)
	if of.name == "" || g.said[of.kind+of.name] {
		return
	}
	g.said[of.kind+of.name] = true
	if of.kind == fleet.ObjectNode {
		g.nodes = append(g.nodes, of.name)
	} else {
		g.profiles = append(g.profiles, of.name)
	}
}

// report returns what was noted.
func (b *notebook) report() Report {
	all := make([]Finding, 0, len(b.found))
	for f, g := range b.found {
		f.Line, f.Count = g.line, g.count
		if len(g.nodes) > 0 {
			f.Nodes = hostlist.Fold(g.nodes)
		}
		if len(g.profiles) > 0 {
			slices.Sort(g.profiles)
			more := ""
			if len(g.profiles) > maxShown {
				more = fmt.Sprintf(" and %d more", len(g.profiles)-maxShown)
				g.profiles = g.profiles[:maxShown]
			}
			f.Objects = "profile " + strings.Join(g.profiles, ", ") + more
		}
		all = append(all, f)
	}
	r := Report{Findings: all}
	r.sort()
	return r
}

// sort puts findings into their order.
func (r Report) sort() {
	order := []Outcome{Left, Fixed, Taken, Moot}
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Outcome), slices.Index(order, b.Outcome)), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Do, b.Do))
	})
}
