package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// edits draws Edits that get in each other's way: few names, few addresses.
func edits() *rapid.Generator[Edit] {
	node, profile := rapid.StringMatching(`n[1-6]`), rapid.StringMatching(`p[1-4]`)
	word := rapid.SampledFrom([]string{"a", "b", "c", "~a", "~b"})
	settings := rapid.Custom(func(t *rapid.T) Settings {
		s := Settings{Init: rapid.SampledFrom([]string{"", "", "/a", "/b"}).Draw(t, "init"), KernelArgs: rapid.SliceOfN(word, 0, 3).Draw(t, "args"),
			Tags: rapid.MapOfN(rapid.SampledFrom([]string{"x", "y"}), word, 0, 2).Draw(t, "tags")}
		switch rapid.IntRange(0, 5).Draw(t, "more") {
		case 0:
			s.BMC.Password = Secret(rapid.SampledFrom([]string{"", "secret"}).Draw(t, "password"))
		case 1:
			s.Resources = map[string]Resource{"l": Resource(rapid.SampledFrom([]string{"[1]", "[2,3]", `{"a":1}`}).Draw(t, "resource"))}
		case 2:
			s.Image = ImageRef{Name: "debian"}
		}
		return s
	})
	profiles := rapid.Custom(func(t *rapid.T) []string {
		out := rapid.SliceOfNDistinct(profile, 0, 3, rapid.ID).Draw(t, "profiles")
		if len(out) > 1 && rapid.IntRange(0, 3).Draw(t, "negated") == 0 {
			out[0] = "~" + out[0]
		}
		return out
	})
	ports := rapid.Custom(func(t *rapid.T) []Interface {
		host, net := rapid.IntRange(2, 9).Draw(t, "host"), rapid.IntRange(1, 2).Draw(t, "net")
		i := Interface{Name: rapid.SampledFrom([]string{"default", "ib0"}).Draw(t, "port"), IP: netip.AddrFrom4([4]byte{10, byte(net), 0, byte(host)})}
		if rapid.Bool().Draw(t, "hardware") {
			i.MAC = mac(byte(host))
		}
		return []Interface{i}
	})
	return rapid.Custom(func(t *rapid.T) Edit {
		var e Edit
		seen := map[Ref]bool{}
		for range rapid.IntRange(1, 4).Draw(t, "objects") {
			var o Object
			switch rapid.IntRange(0, 7).Draw(t, "kind") {
			case 0, 1, 2:
				n := Node{Name: node.Draw(t, "node"), Profiles: profiles.Draw(t, "of"), Settings: settings.Draw(t, "settings"), Comment: word.Draw(t, "comment")}
				if rapid.Bool().Draw(t, "wired") {
					n.Interfaces = ports.Draw(t, "ports")
				}
				o.Node = &n
			case 3, 4, 5:
				o.Profile = &Profile{Name: profile.Draw(t, "profile"), Profiles: profiles.Draw(t, "of"), Settings: settings.Draw(t, "settings")}
			case 6:
				bits := rapid.IntRange(27, 30).Draw(t, "bits")
				o.Network = &Network{Name: rapid.SampledFrom([]string{"ib", "ib2"}).Draw(t, "network"), Subnet: netip.PrefixFrom(ip("10.2.0.0"), bits), DHCP: DHCPOff}
			default:
				o.Cluster = &ClusterSettings{Seeding: Seeding{NodeUpload: int64(rapid.IntRange(1, 3).Draw(t, "upload")) << 20}}
			}
			r := o.Ref()
			if seen[r] {
				continue
			}
			seen[r] = true
			if r.Kind != ObjectCluster && rapid.IntRange(0, 4).Draw(t, "delete") == 0 {
				e.Deletes = append(e.Deletes, r)
			} else {
				e.Puts = append(e.Puts, o)
			}
		}
		return e
	})
}

// TestHistoryRestores applies random commands, and then looks at, and goes back to, each revision.
func TestHistoryRestores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := populate(t, start2(t))
		apply := func(c Command) {
			s, _ = s.Apply(Entry{Command: c, At: noon, Who: "root", Why: "why"}, s.Revision()+1) // some are refused
		}
		apply(SetFormat{4})
		known := []State{s}
		for range rapid.IntRange(5, 25).Draw(t, "count") {
			if rapid.IntRange(0, 3).Draw(t, "other") == 0 {
				apply(commands().Draw(t, "command"))
			} else {
				e := edits().Draw(t, "edit")
				apply(&e)
			}
			known = append(known, s)
		}
		if rapid.Bool().Draw(t, "restarted") {
			s = reread(t, s)
		}
		if text := outline(s); strings.Contains(text, "without a difference") {
			t.Fatalf("the history tells of what did not change:\n%s", text)
		}
		for _, was := range known {
			at, err := s.At(was.Revision())
			if err != nil {
				t.Fatal(err)
			}
			if at.Revision() != was.Revision() || at.ConfigHash() != was.ConfigHash() {
				t.Fatalf("at %d the configuration is another than it was", was.Revision())
			}
			if got, want := outline(at), outline(was); got != want {
				t.Fatalf("at %d the history is\n%s\nit was\n%s", was.Revision(), got, want)
			}
			if err := checkIndexes(at); err != nil {
				t.Fatalf("at %d: %v", was.Revision(), err)
			}
			back, err := s.Rollback(was.Revision())
			if err != nil {
				t.Fatal(err)
			}
			if len(back.Puts)+len(back.Deletes) == 0 {
				if s.ConfigHash() != was.ConfigHash() {
					t.Fatalf("back to %d: nothing to do, and the configuration is another", was.Revision())
				}
				continue
			}
			b, err := EncodeEntry(Entry{Command: back, At: noon}, s.Format())
			if err != nil {
				t.Fatal(err)
			}
			e, err := DecodeEntry(b, Format)
			if err != nil {
				t.Fatal(err)
			}
			after, err := s.Apply(e, s.Revision()+1)
			if err != nil {
				// What is no configuration may be in the way: an image that is gone, a controller that has come.
				if !strings.Contains(err.Error(), "image") && !strings.Contains(err.Error(), "controller") {
					t.Fatalf("back to %d: %v", was.Revision(), err)
				}
				continue
			}
			if after.ConfigHash() != was.ConfigHash() {
				t.Fatalf("back at %d the configuration is another than it was", was.Revision())
			}
		}
	})
}

// TestResolutionDoesNotDependOnOrder puts the same objects at once and one after another, in any order in which they can
// come: the configuration and all that follows from it is the same.
func TestResolutionDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := populate(t, start2(t))
		base, err := base.Apply(Entry{Command: SetFormat{4}}, base.Revision()+1)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := base, error(nil)
		for range 6 {
			e := edits().Draw(t, "edit")
			whole, _ = whole.Apply(Entry{Command: e}, whole.Revision()+1) // some are refused
		}
		var left []Object
		for p := range whole.Profiles() {
			left = append(left, Object{Profile: &p})
		}
		for n := range whole.Networks() {
			left = append(left, Object{Network: &n})
		}
		for n := range whole.Nodes() {
			left = append(left, Object{Node: &n})
		}
		left = rapid.Permutation(left).Draw(t, "order")
		empty, err := State{}.Apply(Entry{Command: InitCluster{Cluster: testCluster()}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		parts := empty
		for _, c := range []Command{SetFormat{4}, AddImageVersion{Image: "debian", Version: testVersion(), Holders: []string{"head1"}}, Edit{Puts: []Object{{Cluster: ptr(whole.settings())}}}} {
			if parts, err = parts.Apply(Entry{Command: c}, parts.Revision()+1); err != nil {
				t.Fatal(err)
			}
		}
		for len(left) > 0 {
			var later []Object
			for _, o := range left {
				if parts, err = parts.Apply(Entry{Command: Edit{Puts: []Object{o}}}, parts.Revision()+1); err != nil {
					later = append(later, o) // what it names is not there yet
				}
			}
			if len(later) == len(left) {
				t.Fatalf("cannot be put: %v", err)
			}
			left = later
		}
		if parts.ConfigHash() != whole.ConfigHash() {
			t.Fatal("the configuration is another")
		}
		a, b := slices.Collect(parts.ResolveAll()), slices.Collect(whole.ResolveAll())
		for i := range a {
			a[i].Revision, b[i].Revision, b[i].Discover = 0, 0, time.Time{}
			if !a[i].same(b[i]) {
				t.Fatalf("%s is %+v and %+v", a[i].Name, a[i], b[i])
			}
			one, err := parts.Resolve(a[i].Name)
			if one.Revision = 0; err != nil || !reflect.DeepEqual(one, a[i]) {
				t.Fatalf("%s alone is %+v, among all %+v, %v", one.Name, one, a[i], err)
			}
		}
	})
}

// outline writes which objects changed when.
func outline(s State) string {
	var b strings.Builder
	for r := range s.History() {
		fmt.Fprintf(&b, "%d %s:", r.Revision, r.Kind)
		for _, c := range r.Changed {
			fmt.Fprintf(&b, " %s", c.Ref())
			if c.Before.same(c.After) {
				b.WriteString(" without a difference")
			}
		}
		if r.User != nil {
			fmt.Fprintf(&b, " %+v", *r.User)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func ptr[T any](v T) *T { return &v }

func TestHistoryTells(t *testing.T) {
	s := start4(t)
	from := s.Revision()
	s, err := s.Apply(Entry{Command: edit(t, `{"node":{"name":"n2","rack":"r1"}} {"profile":{"name":"gpu"}}`, Ref{"node", "n3"}), At: noon, Who: "ann", Why: "moved"}, from+1)
	if err != nil {
		t.Fatal(err)
	}
	s = mustApply(t, s, edit(t, `{"node":{"name":"n2","rack":"r1"}}`), AddJoinToken{testToken("a")}) // change no configuration
	s = mustApply(t, s, SetCluster{AuthorizedKeys: &[]string{"ssh-ed25519 AAAA ann"}}, PutNetwork{Network: Network{Name: "ib", Subnet: subnet("10.2.0.0/24"), DHCP: DHCPOff}, Create: true})
	all := slices.Collect(s.History())
	var got []string
	for _, r := range all[:len(all)-1] {
		line := fmt.Sprint(r.Revision-from, " ", r.Kind, " ", r.Who)
		for _, c := range r.Changed {
			line += fmt.Sprintf("; %s: %s to %s", c.Ref(), short(t, c.Before), short(t, c.After))
		}
		got = append(got, line)
	}
	want := []string{
		`5 network.put root; network ib: nothing to {"network":{"name":"ib","s`,
		`4 cluster.set root; cluster: {"cluster":{}} to {"cluster":{"authorized_ke`,
		`1 config.edit ann; node n2: {"node":{"name":"n2","prof to {"node":{"name":"n2","rack; node n3: {"node":{"name":"n3","prof to nothing; profile gpu: {"profile":{"name":"gpu"," to {"profile":{"name":"gpu","`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r := all[2]; r.Why != "moved" || !r.At.Equal(noon) {
		t.Errorf("%+v", r)
	}
	n1 := mustApply(t, s, edit(t, `{"node":{"name":"n1","interfaces":[{"name":"default","ip":"10.1.0.11"}]}}`))
	armed := mustApply(t, n1, ArmDiscovery{Names: []string{"n1"}, Until: noon.Add(time.Hour)}, SetNodes{Names: []string{"n2"}, Rack: ptr("r1")})
	if outline(armed) != outline(n1) {
		t.Errorf("arming a node, and setting what is set, are changes:\n%s", outline(armed))
	}
	for rev, text := range map[Revision]string{s.Revision() + 1: "the state is at", 3: "goes back to 4"} {
		if _, err := s.At(rev); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), text) {
			t.Errorf("at %d: %v, want ErrNotFound and %q", rev, err, text)
		}
		if _, err := s.Rollback(rev); !errors.Is(err, ErrNotFound) {
			t.Errorf("back to %d: %v, want ErrNotFound", rev, err)
		}
	}
	old := start(t)
	if _, err := old.At(old.Revision() - 1); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "begins when") {
		t.Errorf("in format 1: %v", err)
	}
	if at, err := old.At(old.Revision()); err != nil || at.Hash() != old.Hash() {
		t.Errorf("now, in format 1: %v", err)
	}
}

func short(t testing.TB, o Object) string {
	t.Helper()
	if o == (Object{}) {
		return "nothing"
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:min(len(b), 26)])
}

// TestRollbackTakesSecretsBack goes back to where there was no password.
func TestRollbackTakesSecretsBack(t *testing.T) {
	s := start4(t)
	before := s.Revision()
	s = mustApply(t, s, edit(t, `{"node":{"name":"n2","bmc":{"password":"bjI="}}}`))
	back, err := s.Rollback(before)
	if err != nil {
		t.Fatal(err)
	}
	s = mustApply(t, s, back)
	if n, _ := s.Node("n2"); len(n.BMC.Password) != 0 || len(n.Profiles) != 1 {
		t.Errorf("n2 is %+v", n)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s := start4(t)
	begin := s.history.since
	for i := range MaxHistory + 10 {
		s = mustApply(t, s, edit(t, fmt.Sprintf(`{"node":{"name":"n2","rack":"r%d"}}`, i)))
	}
	if got := len(slices.Collect(s.History())); got != MaxHistory || s.history.since <= begin {
		t.Errorf("%d changes are remembered since %d, want %d", got, s.history.since, MaxHistory)
	}
	if _, err := s.At(s.history.since); err != nil {
		t.Error(err)
	}
	if _, err := s.At(s.history.since - 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("before what is remembered: %v, want ErrNotFound", err)
	}
	reread(t, s)

	// A few large changes are all that there is place for.
	large := edit(t, `{"node":{"name":"n2"}}`)
	large.Puts[0].Node.Resources = map[string]Resource{}
	for i := range 3 {
		large.Puts[0].Node.Resources[fmt.Sprint("r", i)] = Resource(`"` + strings.Repeat("x", 60<<10) + `"`)
	}
	for i := range 190 {
		large.Puts[0].Node.Rack = fmt.Sprintf("r%d", i)
		s = mustApply(t, s, large)
	}
	if s.history.bytes > MaxHistoryBytes || s.history.bytes < MaxHistoryBytes-(200<<10) {
		t.Errorf("%d bytes are remembered, want close to %d", s.history.bytes, MaxHistoryBytes)
	}
	if again := reread(t, s); again.history.bytes != s.history.bytes || again.history.since != s.history.since {
		t.Errorf("after a restart %d bytes since %d, want %d since %d", again.history.bytes, again.history.since, s.history.bytes, s.history.since)
	}
}

// TestSnapshotsOfFormat4AreInOrder refuses what no release writes.
func TestSnapshotsOfFormat4AreInOrder(t *testing.T) {
	var b strings.Builder
	if _, err := start4(t).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(b.String(), "\n")
	past := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, `{"past"`) })
	for what, snapshot := range map[string]string{
		"of format 3 with a profile": `{"samara":"state","format":3}` + "\n" + `{"cluster":{"name":"c1","format":3,"controllers":null,"id":"","ca":null,"ca_key":null,"mesh_key":null,"token_key":null,"id_key":null}}{"profile":{"name":"a"}}`,
		"of format 3 with a tag":     `{"samara":"state","format":3}` + "\n" + `{"node":{"name":"n1","tags":{"a":"b"}}}`,
		"with a change twice":        strings.Join(slices.Insert(slices.Clone(lines), past, lines[past]), ""),
	} {
		if _, err := ReadState(strings.NewReader(snapshot)); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), "format 3 lacks") && !strings.Contains(err.Error(), "out of its place") {
			t.Errorf("a snapshot %s: %v", what, err)
		}
	}
}
