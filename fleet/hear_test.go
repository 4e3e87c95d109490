package fleet

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestAllThatIsSaidCanBeSet tells an empty node, and an empty profile, what a full one says, field by field.
func TestAllThatIsSaidCanBeSet(t *testing.T) {
	was := full(t)
	was.Interfaces[0].Name, was.Disks[0].Device = "a.b", "/dev/disk/by-id/nvme-eui.0025"
	node, profile := Node{Name: was.Name, Discover: was.Discover, Revision: was.Revision}, Profile{Name: "p"}
	for path, value := range was.Values() {
		f, _ := FieldOf(path)
		switch {
		case f.Secret:
			value = string(was.BMC.Password)
		case f.Kind == KindTime:
			continue
		case f.Kind == KindValue:
			path = strings.Join(splitPath(path)[:2], ".")
			value = string(was.Resources[splitPath(path)[1]])
		}
		if err := node.Set(path, value); err != nil {
			t.Errorf("node: %s=%s: %v", path, value, err)
		}
		if err := profile.Set(path, value); (err == nil) == f.NodeOnly {
			t.Errorf("profile: %s=%s: %v", path, value, err)
		}
	}
	if got, want := encoded(t, node), encoded(t, was); got != want {
		t.Errorf("the node that was told is %s, want %s", got, want)
	}
	for path := range was.Values() {
		if f, _ := FieldOf(path); f.Kind == KindTime {
			continue
		} else if f.Kind == KindValue {
			path = strings.Join(splitPath(path)[:2], ".")
		}
		before := encoded(t, node)
		shared := node
		if err := node.Set(path, ""); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if got := encoded(t, shared); got != before {
			t.Errorf("%s: a copy became %s, want %s", path, got, before)
		}
	}
	node.Discover = full(t).Discover.Add(-1 << 62)
	if left := maps.Collect(node.Values()); len(left) != 1 {
		t.Errorf("after all was taken away it says %v", left)
	}
}

func TestWholePartsCanBeTakenAway(t *testing.T) {
	n := full(t)
	name, device := n.Interfaces[0].Name, n.Disks[0].Device
	for _, path := range []string{"interfaces." + name, "interfaces.none", "bmc", "tags", "resources", "disks." + device + ".partitions", "disks", "filesystems", "kernel_args"} {
		if err := n.Set(path, ""); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	var left []string
	for path := range n.Values() {
		left = append(left, path)
	}
	for _, gone := range []string{"interfaces", "bmc", "tags", "resources", "disks", "filesystems", "kernel_args"} {
		if slices.ContainsFunc(left, func(p string) bool { return p == gone || strings.HasPrefix(p, gone+".") }) {
			t.Errorf("%s is still said: %v", gone, left)
		}
	}
	if n.BMC.Password == nil {
		t.Error("the password would stay")
	}
}

func TestWhatCannotBeSet(t *testing.T) {
	for path, value := range map[string]string{
		"": "x", "nosuch": "x", "nosuch.deep": "", "name": "n2", "revision": "7", "discover": "2026-01-31T18:00:00Z", "image.name": "x",
		"image": "BIG", "interfaces": "x", "interfaces.default": "x", "interfaces.default.nosuch": "x", "interfaces.default.ip": "10.1.0",
		"interfaces.default.mac": "52:54", "interfaces.default.onboot": "perhaps", "interfaces.default.mtu": "9k", "interfaces.default.netmask": "255.0.255.0",
		"bmc": "x", "bmc.port": "1e3", "tags": "x", "tags.a.b": "x", "resources.r": "{", "resources.r.x": "1", `tags."a`: "x", "bmc.password.x": "x", "profiles.x": "x",
	} {
		n := full(t)
		before := encoded(t, n)
		if err := n.Set(path, value); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), splitPath(path)[0]) {
			t.Errorf("%s=%s: %v, want an error that names it", path, value, err)
		}
		if got := encoded(t, n); got != before {
			t.Errorf("%s=%s: refused, and yet it is %s", path, value, got)
		}
	}
}

func TestPathOf(t *testing.T) {
	f, _ := FieldOf("disks.x.partitions.y.size_mib")
	if got, want := PathOf(f, "/dev/disk/by-id/a.b", "root"), `disks."/dev/disk/by-id/a.b".partitions.root.size_mib`; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	if f, _ := FieldOf("image"); PathOf(f, "x") != "image" {
		t.Errorf("path %s", PathOf(f, "x"))
	}
}
