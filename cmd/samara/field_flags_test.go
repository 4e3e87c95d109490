package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

// TestEachFieldHasAFlag holds the names of flags to the table of fields, and the verbs to those names.
func TestEachFieldHasAFlag(t *testing.T) {
	paths := mapped(fleet.Fields(), func(f fleet.Field) string { return f.Path })
	for path := range flagNames() {
		if !slices.Contains(paths, path) {
			t.Errorf("a flag has a name for %s, which is no field", path)
		}
	}
	for path := range keyFlags() {
		if !slices.Contains(paths, path) {
			t.Errorf("unset has a flag for %s, which is no field", path)
		}
	}
	root := newRoot(installed())
	for _, of := range []noun{nodes(), profiles()} {
		for _, verb := range []string{"add", "set", "copy", "unset"} {
			c, _, err := root.Find([]string{of.kind, verb})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range fleet.Fields() {
				name := nameOf(f).name
				if keyed := keyFlags()[f.Path]; verb == "unset" && keyed != "" {
					name = keyed
				}
				want := f.Kind != fleet.KindTime && (of.kind == fleet.ObjectNode || !f.NodeOnly)
				if got := c.Flags().Lookup(name) != nil; got != want {
					t.Errorf("samara %s %s --%s for %s: %t, want %t", of.kind, verb, name, f.Path, got, want)
				}
			}
		}
	}
}

// TestFlagsOfWarewulf holds flags to the names that scripts of its users have.
func TestFlagsOfWarewulf(t *testing.T) {
	c, _, err := newRoot(installed()).Find([]string{"node", "set"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`asset profile comment cluster image runtime-overlays system-overlays init root primarynet ipmiuser ipmipass ipmiaddr
		ipmigateway ipminetmask ipmiport ipmiinterface ipmiescapechar ipmiwrite ipmitemplate kernelversion kernelargs type onboot netdev hwaddr ipaddr netmask
		gateway ipaddr6 prefixlen6 gateway6 mtu diskwipe partnumber partsize parttype partwipe partcreate fsformat fspath fswipe tagdel ipmitagdel nettagdel
		netdel diskdel partdel fsdel tagadd ipmitagadd nettagadd netname diskname partname fsname`) {
		if c.Flags().Lookup(name) == nil {
			t.Errorf("there is no --%s", name)
		}
	}
	for short, name := range map[string]string{"P": "profile", "c": "cluster", "R": "runtime-overlays", "O": "system-overlays", "i": "init", "p": "primarynet",
		"A": "kernelargs", "T": "type", "N": "netdev", "H": "hwaddr", "I": "ipaddr", "M": "netmask", "G": "gateway"} {
		if f := c.Flags().ShorthandLookup(short); f == nil || f.Name != name {
			t.Errorf("-%s is %v, want --%s", short, f, name)
		}
	}
}
