package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// maxFaults bounds the faults that one Parse looks for.
const maxFaults = 100

// A Fault is one thing that is wrong with a file.
type Fault struct {
	Position        // Line is 0 if it is of the file as a whole
	Field    string // which key, as the file spells it: "nodes.n1.network devices.default.ipaddr"; "" for none
	What     string // what is wrong, and what was wanted
	Meant    string // what was probably meant; "" if nothing is near

	file int // the number of the file
}

// String returns one line: FILE:LINE:COLUMN: FIELD: WHAT; did you mean MEANT?
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Position.String())
	for _, part := range []string{f.Field, f.What} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if f.Meant != "" {
		fmt.Fprintf(&b, "; did you mean %s?", f.Meant)
	}
	return b.String()
}

// Faults are all that is wrong with files, in their order; at most a hundred, and then one that says so.
type Faults []Fault

// Error returns a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Is makes faults fleet.ErrInvalid.
func (f Faults) Is(target error) bool { return target == fleet.ErrInvalid }

// add appends a fault; what is one too many is not looked at, but said to be there.
func (f *Faults) add(fault Fault) {
	switch n := len(*f); {
	case n < maxFaults:
		*f = append(*f, fault)
	case n == maxFaults:
		*f = append(*f, Fault{Position: Position{File: fault.File}, What: fmt.Sprintf("there are more faults; mend these %d first", maxFaults), file: math.MaxInt})
	}
}

// full reports whether to look for more is pointless.
func (f Faults) full() bool { return len(f) > maxFaults }

// inOrder returns f in the order of files and lines.
func (f Faults) inOrder() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return f
}
