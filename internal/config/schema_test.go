package config

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

// sample returns a value for a kind of field, as YAML.
func sample(k fleet.FieldKind) string {
	return map[fleet.FieldKind]string{
		fleet.KindText: "text", fleet.KindNumber: "7", fleet.KindBool: "true", fleet.KindList: "[word]", fleet.KindAddress: "10.1.0.5",
		fleet.KindNetmask: "255.255.0.0", fleet.KindMAC: "52:54:00:12:34:56", fleet.KindImage: "name:3", fleet.KindTime: "2026-01-31T18:00:00Z", fleet.KindValue: "[1]",
	}[k]
}

// said returns the paths of all that a node says, with its secrets.
func said(n fleet.Node) []string {
	all := maps.Collect(n.Values())
	if len(n.BMC.Password) > 0 {
		all["bmc.password"] = ""
	}
	return slices.Sorted(maps.Keys(all))
}

// TestEveryFieldIsReadAndWritten goes through the table of fields: each is read by its path in JSON, by Warewulf's, and by
// that with "_", and is written so that it is read again.
func TestEveryFieldIsReadAndWritten(t *testing.T) {
	for _, f := range fleet.Fields() {
		for _, path := range []string{f.Path, f.Warewulf, strings.ReplaceAll(f.Warewulf, " ", "_")} {
			if path == "" {
				continue
			}
			text := sample(f.Kind)
			for _, name := range slices.Backward(strings.Split(strings.ReplaceAll(path, "*", "x"), ".")) {
				text = "{" + name + ": " + text + "}"
			}
			text = "nodes: {n1: " + text + "}"
			d, err := Parse(File{"f", []byte(text)})
			if err != nil {
				t.Errorf("field %s: %v", f.Path, err)
				continue
			}
			want := []string{strings.ReplaceAll(f.Path, "*", "x")}
			if got := said(d.Nodes[0]); !slices.Equal(got, want) {
				t.Errorf("Parse(%q) says %s, want %s", text, got, want)
			}
			if pos, ok := d.Where(fleet.ObjectNode, "n1", want[0]); !ok || pos.Line != 1 || pos.Column <= len("nodes: {n1: ") {
				t.Errorf("Parse(%q) says %s at %s", text, want, pos)
			}
			again, err := Parse(File{"f", encoded(t, d)})
			if err != nil {
				t.Errorf("field %s: %v", f.Path, err)
				continue
			}
			if got := said(again.Nodes[0]); !slices.Equal(got, want) && !f.Secret {
				t.Errorf("written and read again it says %s, want %s:\n%s", got, want, encoded(t, d))
			}
		}
	}
}

// TestAProfileHasEveryFieldButANodesOwn reads each field in a profile.
func TestAProfileHasEveryFieldButANodesOwn(t *testing.T) {
	for _, f := range fleet.Fields() {
		text := sample(f.Kind)
		for _, name := range slices.Backward(strings.Split(strings.ReplaceAll(f.Path, "*", "x"), ".")) {
			text = "{" + name + ": " + text + "}"
		}
		_, err := Parse(File{"f", []byte("nodeprofiles: {p: " + text + "}")})
		if refused := err != nil && strings.Contains(err.Error(), "a profile cannot have it"); refused != f.NodeOnly {
			t.Errorf("%s in a profile: %v; it is a node's own: %v", f.Path, err, f.NodeOnly)
		}
	}
}

// TestEveryAddressOfARangeIsCounted sees that no field is forgotten that two nodes cannot share.
func TestEveryAddressOfARangeIsCounted(t *testing.T) {
	for _, f := range fleet.Fields() {
		if !f.NodeOnly || f.Kind != fleet.KindAddress && f.Kind != fleet.KindMAC {
			continue
		}
		text := sample(f.Kind)
		path := strings.Split(strings.ReplaceAll(f.Path, "*", "x"), ".")
		for _, name := range slices.Backward(path) {
			text = "{" + name + ": " + text + "}"
		}
		d, err := Parse(File{"f", []byte("nodes: {'n[1-2]': " + text + "}")})
		if err != nil {
			if f.Kind != fleet.KindMAC {
				t.Errorf("field %s: %v", f.Path, err)
			}
			continue
		}
		one, two := maps.Collect(d.Nodes[0].Values()), maps.Collect(d.Nodes[1].Values())
		if at := strings.Join(path, "."); one[at] == two[at] || one[at] == "" {
			t.Errorf("both nodes of a range have %s %q", f.Path, one[at])
		}
	}
}
