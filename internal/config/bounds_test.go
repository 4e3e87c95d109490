package config

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestParseIsBounded reads what is made to take time or memory without end.
func TestParseIsBounded(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("nodes:\n  n1:\n    resources:\n      a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n")
	for i := range 12 {
		fmt.Fprintf(&laughs, "      a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	var merges strings.Builder
	merges.WriteString("nodes:\n  a0: &a0 {tags: {a: b}}\n")
	for i := range 30 {
		fmt.Fprintf(&merges, "  a%d: &a%d {<<: [*a%d, *a%d]}\n", i+1, i+1, i, i)
	}
	var stairs strings.Builder
	for i := range 1000 {
		stairs.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	var ranges strings.Builder
	ranges.WriteString("nodes:\n")
	for i := range 10 {
		fmt.Fprintf(&ranges, "  r%d-[00000-99999]: \n", i)
	}
	long := strings.Repeat("x", 1<<20)
	for phrase, c := range map[string]struct{ text, want string }{
		"aliases of aliases":           {laughs.String(), "the aliases stand for more than 8388608 values"},
		"merges of merges":             {merges.String(), "the aliases stand for more than 8388608 values"},
		"brackets":                     {strings.Repeat("[", 1<<18), "more than 64 collections within each other"},
		"braces":                       {strings.Repeat("{a: ", 1<<18), "more than 64 collections within each other"},
		"dashes":                       {strings.Repeat("- ", 1<<19), "more than 64 collections within each other"},
		"stairs":                       {stairs.String(), "more than 64 collections within each other"},
		"anchors":                      {strings.Repeat("&a ", 1<<19), "f:1:4: did not find expected <document start>"},
		"ranges":                       {ranges.String(), "f:4:3: nodes.r2-[00000-99999]: with it there are more than 262144 objects"},
		"a range that says much":       {"nodes: {'n[1-99999]': {tags: {" + strings.Repeat("a: b, ", 200) + "}}}", "or 16777216 values, those of a range counted for each node"},
		"a resource without end":       {"nodes: {n1: {resources: {a: [" + strings.Repeat("xxxxxxx, ", 1<<14) + "]}}}", "a resource of more than 64 KiB"},
		"long names in many messages":  {"nodes: {n1: {disks: {" + long + ": {partitions: {" + strings.Repeat("a: {b: c}, ", 200) + "}}}}}", "there are more faults"},
		"a long name with many fields": {"nodes: {n1: {disks: {" + long + ": {partitions: {a: {number: x}}}}}}", "… \"x\" where a number"},
	} {
		t.Run(phrase, func(t *testing.T) {
			d, err := Parse(File{"f", []byte(c.text)})
			if err == nil || len(d.Nodes) > 0 || !strings.Contains(strings.ReplaceAll(err.Error(), "….partitions.a.number:", "…"), c.want) {
				t.Fatalf("got %.500v, want %s", err, c.want)
			}
			if len(err.Error()) > 100<<10 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestParseRefusesMoreThanItsSize(t *testing.T) {
	half := bytes.Repeat([]byte("# comment                              \n"), MaxSize/80)
	_, err := Parse(File{"a", half}, File{"b", half}, File{"c", half})
	want := "c: with it the files have more than 64 MiB; apply them a part at a time"
	if err == nil || err.Error() != want {
		t.Errorf("got %.200v, want %s", err, want)
	}
}

// TestParseTakesTimeInProportion counts what is allocated for more and more keys of one mapping.
func TestParseTakesTimeInProportion(t *testing.T) {
	count := func(n int) float64 {
		var b strings.Builder
		b.WriteString("nodes:\n")
		for i := range n {
			fmt.Fprintf(&b, "  n%d: {rack: r1}\n", i)
		}
		return testing.AllocsPerRun(1, func() {
			if _, err := Parse(File{"f", []byte(b.String())}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := count(2_000), count(20_000); many > 15*few {
		t.Errorf("%.0f allocations for 2,000 nodes, %.0f for 20,000; want ten times as many", few, many)
	}
}

// FuzzParse reads anything. What is read can be written, and is then read as the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("nodes: {n1: {kernel: {args: [a, ~b]}, tags: {a: '1'}}}\n---\nnetworks: {a: {subnet: 10.1.0.0/16}}"))
	f.Add([]byte("nodes:\n  n[1-3]: &a\n    network devices:\n      default: {ipaddr: 10.1.0.1, onboot: yes}\n  m: {<<: *a, rack: r}\n"))
	f.Add([]byte("nodeprofiles:\n  p:\n    resources:\n      a: |\n        x\n      b: >-\n        y\n\n        z\n      c: \"\\u00e9\\\n  \"\n"))
	f.Add([]byte("cluster: {seeding: {node_upload: 65536}, authorized_keys: [k]}\n...\n%YAML 1.2\n---\n!!map {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("-9")) {
			return // a range of many nodes, which is bounded, but takes its time
		}
		d, err := Parse(File{"f", text})
		if err != nil {
			_ = err.Error()
			return
		}
		for i := range d.Nodes {
			d.Nodes[i] = d.Nodes[i].WithoutSecrets()
		}
		for i := range d.Profiles {
			d.Profiles[i] = d.Profiles[i].WithoutSecrets()
		}
		var written bytes.Buffer
		if err := Encode(&written, d); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(File{"f", written.Bytes()})
		if err != nil {
			t.Fatalf("%v\n%s", err, written.Bytes())
		}
		var twice bytes.Buffer
		if err := Encode(&twice, again); err != nil || !bytes.Equal(written.Bytes(), twice.Bytes()) {
			t.Fatalf("written again it is\n%s, %v; it was\n%s", twice.Bytes(), err, written.Bytes())
		}
	})
}
