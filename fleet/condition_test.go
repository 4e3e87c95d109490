package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseCondition(t *testing.T) {
	for in, want := range map[string]Condition{
		"node/n1@7":       {"node", "n1", 7},
		"image/debian@0":  {"image", "debian", 0},
		"network/boot@12": {"network", "boot", 12},
		"cluster@3":       {"cluster", "", 3},
		"profile/A_1@4":   {"profile", "A_1", 4},
		"state@5":         {"state", "", 5},
	} {
		if got, err := ParseCondition(in); err != nil || got != want || got.String() != in {
			t.Errorf("ParseCondition(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "node/n1", "node/n1@", "node/n1@-1", "node/n1@01", "node/n1@+1", "node/N1@1", "node@1", "node/@1", "cluster/c1@1", "cluster/@1", "cluster@x",
		"state/a@1", "state@", "profile@1", "profile/a b@1",
		"blob/a@1", "n1@1", "node/n1@1@2", "node/a/b@1", "node/n1@18446744073709551616"} {
		if _, err := ParseCondition(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseCondition(%q) = %v, want ErrInvalid", in, err)
		}
	}
}

func FuzzParseCondition(f *testing.F) {
	for _, s := range []string{"node/n1@7", "cluster@0", "image/@1", "@", "network/boot@18446744073709551615"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCondition(s); err == nil && c.String() != s {
			t.Errorf("%q was read as %q", s, c)
		}
	})
}

func TestConditions(t *testing.T) {
	s := start2(t)
	n1, _ := s.Node("n1")
	debian, _ := s.Image("debian")
	boot, _ := s.Network("boot")
	cluster, _ := s.Cluster()
	for what, c := range map[string]struct {
		when []Condition
		want error
		text string
	}{
		"all as they were":           {[]Condition{{"node", "n1", n1.Revision}, {"image", "debian", debian.Revision}, {"network", "boot", boot.Revision}, {"cluster", "", cluster.Revision}}, nil, ""},
		"absent, as it was":          {[]Condition{{"node", "n2", 0}, {"image", "rocky", 0}, {"network", "ib", 0}}, nil, ""},
		"a node that has changed":    {[]Condition{{"node", "n1", n1.Revision - 1}}, ErrConflict, "look at it again"},
		"an image that has changed":  {[]Condition{{"image", "debian", debian.Revision + 1}}, ErrConflict, "image debian has changed"},
		"a network that has changed": {[]Condition{{"network", "boot", boot.Revision + 1}}, ErrConflict, "network boot has changed"},
		"a cluster that has changed": {[]Condition{{"cluster", "", cluster.Revision - 1}}, ErrConflict, "cluster has changed"},
		"a node that is gone":        {[]Condition{{"node", "n9", 4}}, ErrConflict, "no longer exists"},
		"a node that has come":       {[]Condition{{"node", "n1", 0}}, ErrConflict, "it exists"},
		"the second of two":          {[]Condition{{"node", "n1", n1.Revision}, {"node", "n9", 1}}, ErrConflict, "node n9"},
		"a kind without revisions":   {[]Condition{{"blob", "a", 0}}, ErrInvalid, "blob"},
		"a name for the cluster":     {[]Condition{{"cluster", "c1", 0}}, ErrInvalid, "no name"},
	} {
		t.Run(what, func(t *testing.T) {
			args := []string{"quiet"}
			next, err := s.Apply(Entry{Command: SetNodes{Names: []string{"n1"}, KernelArgs: &args}, If: c.when}, s.Revision()+1)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want the text %q", err, c.text)
			}
			if n, _ := next.Node("n1"); (n.Revision != n1.Revision) != (err == nil) {
				t.Errorf("node n1 is at revision %d after %v, it was at %d", n.Revision, err, n1.Revision)
			}
		})
	}
	if _, err := EncodeEntry(Entry{Command: DeleteNodes{}, If: make([]Condition, MaxConditions+1)}, 2); !errors.Is(err, ErrInvalid) {
		t.Errorf("too many conditions: %v, want ErrInvalid", err)
	}
}

func TestConditionsOnTheConfiguration(t *testing.T) {
	s := start4(t)
	gpu, _ := s.Profile("gpu")
	changed := s.Revision()
	// What is no configuration does not count.
	s = mustApply(t, s, AddJoinToken{testToken("a")})
	for what, c := range map[string]struct {
		when Condition
		want error
		text string
	}{
		"a profile as it was":       {Condition{"profile", "gpu", gpu.Revision}, nil, ""},
		"a profile that changed":    {Condition{"profile", "gpu", gpu.Revision - 1}, ErrConflict, "profile gpu has changed"},
		"a profile that has come":   {Condition{"profile", "gpu", 0}, ErrConflict, "it exists"},
		"a profile that is gone":    {Condition{"profile", "cpu", 3}, ErrConflict, "no longer exists"},
		"a profile that is absent":  {Condition{"profile", "cpu", 0}, nil, ""},
		"the state as it is":        {Condition{"state", "", s.Revision()}, nil, ""},
		"the state as it last was":  {Condition{"state", "", changed}, nil, ""},
		"the state before a change": {Condition{"state", "", changed - 1}, ErrConflict, fmt.Sprintf("changed it at revision %d", changed)},
		"a name for the state":      {Condition{"state", "a", 1}, ErrInvalid, "no name"},
	} {
		_, err := s.Apply(Entry{Command: edit(t, `{"node":{"name":"n9"}}`), If: []Condition{c.when}}, s.Revision()+1)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v and the text %q", what, err, c.want, c.text)
		}
	}
}
