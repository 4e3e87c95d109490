package fleet

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// full returns a node of which all is said.
func full(t testing.TB) Node {
	t.Helper()
	var n Node
	fill(t, reflect.ValueOf(&n).Elem())
	n.Image, n.Root, n.Reseed = ImageRef{Name: "debian"}, RootTmpfs, ReseedNever
	return n
}

func fill(t testing.TB, v reflect.Value) {
	t.Helper()
	switch to := v.Addr().Interface().(type) {
	case *netip.Addr:
		*to = ip("10.1.0.11")
		return
	case *time.Time:
		*to = noon
		return
	case *MAC:
		*to = mac(1)
		return
	case *Secret:
		*to = Secret("canary")
		return
	case *map[string]Resource:
		*to = map[string]Resource{"fstab": `[{"spec":"nfs1:/home"}]`, "site": `{"admin":{"mail":"root"}}`}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("word")
	case reflect.Int, reflect.Int64:
		v.SetInt(16)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), reflect.ValueOf("text"))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		t.Fatalf("a field of kind %s", v.Kind())
	}
}

// jsonPaths returns the paths of all that a type holds, by its JSON names.
func jsonPaths(of reflect.Type, above string) []string {
	switch of {
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[time.Time](), reflect.TypeFor[MAC](), reflect.TypeFor[Secret](), reflect.TypeFor[ImageRef](), reflect.TypeFor[[]string]():
		return []string{above}
	}
	switch of.Kind() {
	case reflect.Map:
		return []string{above + ".*"}
	case reflect.Slice:
		return jsonPaths(of.Elem(), above+".*")
	case reflect.Struct:
		var out []string
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous {
				out = append(out, jsonPaths(f.Type, above)...)
				continue
			}
			out = append(out, jsonPaths(f.Type, strings.TrimPrefix(above+"."+name, "."))...)
		}
		return out
	}
	return []string{above}
}

// TestTheTableOfFieldsIsComplete holds the table to the names in JSON.
func TestTheTableOfFieldsIsComplete(t *testing.T) {
	names := []string{"name", "revision", "interfaces.*.name", "disks.*.device", "disks.*.partitions.*.label", "filesystems.*.device"}
	want := slices.DeleteFunc(jsonPaths(reflect.TypeFor[Node](), ""), func(p string) bool { return slices.Contains(names, p) })
	var got []string
	for _, f := range Fields() {
		got = append(got, f.Path)
		if f.Kind == "" || f.Doc == "" || strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s: kind %q, %q", f.Path, f.Kind, f.Doc)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the table has\n%s\nJSON has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	of := func(path string) Field {
		f, ok := FieldOf(path)
		if !ok {
			t.Errorf("no field %s", path)
		}
		return f
	}
	if f := of("bmc.password"); !f.Secret || f.Warewulf != "ipmi.password" || f.NodeOnly {
		t.Errorf("%+v", f)
	}
	if f := of("interfaces.ib0.mac"); !f.NodeOnly || f.Warewulf != "network devices.*.hwaddr" || f.Needs != NeedsReboot {
		t.Errorf("%+v", f)
	}
	if f := of("reseed"); f.Warewulf != "" || f.Needs != NeedsRefresh {
		t.Errorf("%+v", f)
	}
}

// TestValuesAreOfTheTable takes a node of which all is said: each row of the table has a value, in its order.
func TestValuesAreOfTheTable(t *testing.T) {
	var rows []string
	for path, value := range full(t).Values() {
		f, ok := FieldOf(path)
		if !ok {
			t.Errorf("%s=%s is in no row of the table", path, value)
		}
		if value == "" || f.Secret != (value == redacted) {
			t.Errorf("%s is %q", path, value)
		}
		if len(rows) == 0 || rows[len(rows)-1] != f.Path {
			rows = append(rows, f.Path)
		}
	}
	var want []string
	for _, f := range Fields() {
		want = append(want, f.Path)
	}
	if !slices.Equal(rows, want) {
		t.Errorf("values of\n%s\nthe table has\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

func TestPathsQuoteNames(t *testing.T) {
	yes := true
	n := Node{Settings: Settings{Tags: map[string]string{"a.b": "1", "": "2", `q"`: "3"},
		Disks: []Disk{{Device: "/dev/disk/by-id/nvme-eui.0025", WipeTable: &yes}}}}
	var got []string
	for path := range n.Values() {
		got = append(got, path)
		if f, ok := FieldOf(path); !ok || f.Path != "tags.*" && f.Path != "disks.*.wipe_table" {
			t.Errorf("%s is of %q", path, f.Path)
		}
	}
	want := []string{`tags.""`, `tags."a.b"`, `tags."q\""`, `disks."/dev/disk/by-id/nvme-eui.0025".wipe_table`}
	if !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
	for _, path := range []string{"", "nosuch", "tags", "interfaces.default", "bmc", "tags.a.b"} {
		if f, ok := FieldOf(path); ok {
			t.Errorf("%q is of %q", path, f.Path)
		}
	}
}

func TestACloneSharesNothing(t *testing.T) {
	n := full(t)
	want := encoded(t, n)
	c := n.clone()
	if got := encoded(t, c); got != want {
		t.Fatalf("a clone is %s, want %s", got, want)
	}
	c.Profiles[0], c.KernelArgs[0], c.SystemOverlays[0], c.RuntimeOverlays[0] = "x", "x", "x", "x"
	c.Interfaces[0].Name, *c.Interfaces[0].OnBoot, c.Interfaces[0].Tags["key"] = "x", false, "x"
	c.BMC.Password[0], *c.BMC.Write, c.BMC.Tags["key"] = 'x', false, "x"
	c.Tags["key"], c.Resources["fstab"] = "x", "x"
	*c.Disks[0].WipeTable, *c.Disks[0].Partitions[0].Resize = false, false
	*c.Disks[0].Partitions[0].ShouldExist, *c.Disks[0].Partitions[0].WipePartitionEntry = false, false
	c.Filesystems[0].Options[0], *c.Filesystems[0].Wipe = "x", false
	if got := encoded(t, n); got != want {
		t.Errorf("after a change of the clone: %s, want %s", got, want)
	}
}
