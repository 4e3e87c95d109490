package selection

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/fleet/hostlist"
)

// hall returns 12 nodes: n1 to n6 in rack3, the rest in r4; n1 to n4 use gpu, n4 through another profile; x1 is in the
// group rack3 and in no rack, and says that it is for logins.
func hall() Cluster {
	c := Cluster{Profiles: []fleet.Profile{{Name: "gpu"}, {Name: "big", Profiles: []string{"gpu"}}, {Name: "quiet"}}}
	for i := range 11 {
		n := fleet.Node{Name: fmt.Sprintf("n%d", i+1), Settings: fleet.Settings{Rack: "r4", Image: fleet.ImageRef{Name: "debian"}}}
		if i < 6 {
			n.Rack = "rack3"
		}
		if i < 3 {
			n.Profiles = []string{"gpu", "quiet"}
		}
		c.Nodes = append(c.Nodes, n)
	}
	c.Nodes[3].Profiles = []string{"big"}
	c.Nodes[4].Profiles = []string{"big", "~gpu"}
	c.Nodes = append(c.Nodes, fleet.Node{Name: "x1", Settings: fleet.Settings{Group: "rack3", Tags: map[string]string{"role": "login"}}})
	return c
}

func TestSelections(t *testing.T) {
	for text, want := range map[string]string{
		"n2":                            "n2",
		"n[3-1,2]":                      "error",
		"n[9-11],n2":                    "n9 n10 n11 n2",
		"n2,n2":                         "n2",
		"@rack3":                        "n1 n2 n3 n4 n5 n6 x1",
		"@r4":                           "n7 n8 n9 n10 n11",
		"@all,!n[2-11]":                 "n1 x1",
		"!n[2-11]":                      "n1 x1",
		"!@rack3":                       "n7 n8 n9 n10 n11",
		"&profile=gpu":                  "n1 n2 n3 n4",
		"&profile=big":                  "n4 n5",
		"&profile!=gpu,@rack3":          "n5 n6 x1",
		"@rack3,&profile=gpu":           "n1 n2 n3 n4",
		"n[1-9],&profile=gpu,!n[2-3]":   "n1 n4",
		"!n7,@r4,n1":                    "n8 n9 n10 n11 n1",
		"&profile=gpu,&profile=quiet":   "n1 n2 n3",
		"&tags.role=login":              "x1",
		"&rack=rack3,&image=debian,!n6": "n1 n2 n3 n4 n5",
		"&image name=debian,&rack=r4":   "n7 n8 n9 n10 n11",
		"&rack!=rack3":                  "n7 n8 n9 n10 n11 x1",
		"@rack9":                        "error",
		"n12":                           "error",
		"n1,!n12":                       "error",
		"n1,!n1":                        "error",
		"n1,@r4,&profile=gpu,!n1":       "error",
		"&profile=nosuch":               "error",
		"&tags.role=none":               "error",
	} {
		s, err := Parse(text)
		var got []string
		if err == nil {
			got, err = s.Of(hall())
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want || s.String() != text {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
		if err != nil && !errors.Is(err, fleet.ErrNotFound) && !errors.Is(err, hostlist.ErrSyntax) {
			t.Errorf("%s: %v is neither ErrNotFound nor ErrSyntax", text, err)
		}
	}
}

func TestWhatIsNoSelection(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "empty",
		"n[4-1]":                       "backwards",
		"@rack3,n[4-1]":                "backwards",
		"!n[4-1]":                      "backwards",
		"!":                            "empty",
		"@":                            "want the name of a rack or group after @",
		"!@":                           "want the name of a rack or group after @",
		"@a@b":                         "want the name of a rack or group after @",
		"n1,":                          "a name is missing",
		"@rack3,":                      "an item is missing",
		",@rack3":                      "an item is missing",
		"n[1-9]&rack=r1":               "put a comma before",
		"n1!n2":                        "put a comma before",
		"!&rack=r1":                    "put a comma before",
		"&rack":                        "want a condition such as",
		"&=r1":                         "want a condition such as",
		"&rack=":                       "want a condition such as",
		"&nosuch=r1":                   "nosuch is no field of a node",
		"&bmc.password=x":              "no field of a node",
		"@rack3,N1":                    "cannot stand in a name",
		"@rack3,n[1-9":                 "[ without its ]",
		"@a,n[1-9]]":                   "] without its [",
		strings.Repeat("n1,", maxText): "bytes, at most",
	} {
		if _, err := Parse(text); !errors.Is(err, hostlist.ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want ErrSyntax with %q", text, err, want)
		}
	}
}

func TestNamesNeedNoCluster(t *testing.T) {
	for text, want := range map[string]string{
		"n[1-4],!n[2-3]": "n1 n4",
		"n[2-1]":         "",
		"!n1":            "",
		"n1,@all":        "",
		"n1,!@all":       "",
		"n1,&rack=r1":    "",
	} {
		s, _ := Parse(text)
		names, fixed, err := s.Names()
		if strings.Join(names, " ") != want || fixed != (want != "") || err != nil {
			t.Errorf("%s: %v, %t, %v; want %q", text, names, fixed, err, want)
		}
	}
	s, err := Parse("n[1-2],!n[1-9]")
	if err != nil {
		t.Fatal(err)
	}
	if _, fixed, err := s.Names(); !fixed || !errors.Is(err, hostlist.ErrSyntax) {
		t.Errorf("of nothing: %t, %v", fixed, err)
	}
	everyone, err := Parse("@all")
	if err != nil {
		t.Fatal(err)
	}
	if names, err := everyone.Of(hall()); err != nil || len(names) != 12 || !slices.IsSortedFunc(names, hostlist.Compare) {
		t.Errorf("all: %v, %v", names, err)
	}
	if _, err := everyone.Of(Cluster{}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("all of none: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"n[1-9],@rack3,&profile=gpu,!n7", "&a.b!=c", "!@x,", "n[1", "@[", "&&&", "!!!"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if names, err := s.Of(hall()); err == nil && len(names) == 0 {
			t.Errorf("%q chooses no node and is no error", text)
		}
	})
}
