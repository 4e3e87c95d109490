package config

import (
	"slices"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

func TestWhere(t *testing.T) {
	d, err := Parse(File{"a", []byte(`nodes:
  n[1-2]:
    kernel:
      args: [quiet]
    network devices:
      default:
        netmask: 255.255.0.0
        tags: {a.b: c}
    resources:
      fstab: [x]
`)}, File{"b", []byte("nodeprofiles:\n  p: {init: /i}\ncluster:\n  seeding: {pause_file: /x}\nnetworks: {n: {subnet: 10.1.0.0/16}}")})
	if err != nil {
		t.Fatal(err)
	}
	for phrase, c := range map[string]struct{ kind, name, path, want string }{
		"an object":                 {fleet.ObjectNode, "n1", "", "a:2:3"},
		"another of its range":      {fleet.ObjectNode, "n2", "", "a:2:3"},
		"a field":                   {fleet.ObjectNode, "n2", "interfaces.default.netmask", "a:7:9"},
		"a field by another name":   {fleet.ObjectNode, "n1", "kernel_args", "a:4:7"},
		"a tag":                     {fleet.ObjectNode, "n1", `interfaces.default.tags."a.b"`, "a:8:16"},
		"a part":                    {fleet.ObjectNode, "n1", "interfaces.default", "a:7:9"},
		"what is not said":          {fleet.ObjectNode, "n1", "interfaces.default.ip", "a:7:9"},
		"a part that is not said":   {fleet.ObjectNode, "n1", "disks./dev/sda.wipe_table", "a:2:3"},
		"a leaf of a resource":      {fleet.ObjectNode, "n1", "resources.fstab.x.y", "a:10:7"},
		"a profile":                 {fleet.ObjectProfile, "p", "init", "b:2:7"},
		"the cluster":               {fleet.ObjectCluster, "", "seeding.pause_file", "b:4:13"},
		"a network":                 {fleet.ObjectNetwork, "n", "subnet", "b:5:16"},
		"an object of another kind": {fleet.ObjectProfile, "n1", "", ""},
		"an object that is not":     {fleet.ObjectNode, "n3", "", ""},
	} {
		t.Run(phrase, func(t *testing.T) {
			got, ok := d.Where(c.kind, c.name, c.path)
			if ok != (c.want != "") || ok && got.String() != c.want {
				t.Errorf("got %s, %v; want %q", got, ok, c.want)
			}
		})
	}
}

func TestEdit(t *testing.T) {
	d, err := Parse(File{"f", []byte("nodes: {n1: , n2: }\nnodeprofiles: {p: }\nnetworks: {b: }\ncluster: {}")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range d.Edit().Puts {
		got = append(got, o.Ref().String())
	}
	if want := []string{"profile p", "network b", "cluster", "node n1", "node n2"}; !slices.Equal(got, want) {
		t.Errorf("the edit puts %q, want %q", got, want)
	}
}
