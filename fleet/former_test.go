package fleet

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFormerCommandsKeepTheRules gives commands that came before profiles to a state that has some.
func TestFormerCommandsKeepTheRules(t *testing.T) {
	wide := testNetwork()
	wide.Subnet = subnet("10.1.0.0/16")
	args := slices.Repeat([]string{"x"}, MaxKernelArgs)
	for what, c := range map[string]struct {
		do   Command
		want error
		text string
	}{
		"an image that a profile has":       {DeleteImage{Image: "debian"}, ErrInUse, "by node n1"},
		"a network whose netmask is said":   {PutNetwork{Network: wide}, ErrInvalid, "network boot: node n2: interface default: bad netmask 255.255.255.0"},
		"a network that nodes are in":       {DeleteNetwork{"boot"}, ErrInUse, "by nodes n[1-3]"},
		"a node of an unknown profile":      {AddNodes{[]Node{{Name: "n9", Profiles: []string{"nosuch"}}}}, ErrNotFound, `node n9: profile "nosuch"`},
		"a node with too much altogether":   {AddNodes{[]Node{{Name: "n9", Profiles: []string{"gpu"}, Settings: Settings{KernelArgs: args}}}}, ErrInvalid, "129, at most 128"},
		"arguments that are too many":       {SetNodes{Names: []string{"n2"}, KernelArgs: &args}, ErrInvalid, "129, at most 128"},
		"an address that a BMC has":         {AddNodes{[]Node{node("n9", Interface{Name: "default", IP: ip("10.1.0.99")})}}, ErrExists, "the BMC of node n2 has it"},
		"an interface without its gateway":  {SetNodes{Names: []string{"n2"}, Interfaces: []SetInterface{{Node: "n2", Name: "default", IP: ptr(ip("10.1.0.254"))}}}, ErrInvalid, "gateway of network boot"},
		"an interface that is primary goes": {SetNodes{Names: []string{"n3"}, Interfaces: []SetInterface{{Node: "n3", Name: "ib0", Drop: true}}}, ErrInvalid, "primary network ib0"},
	} {
		t.Run(what, func(t *testing.T) {
			s := mustApply(t, start4(t), edit(t, `{"node":{"name":"n2","profiles":["gpu"],"interfaces":[{"name":"default","ip":"10.1.0.12"}],"bmc":{"address":"10.1.0.99"}}}
				{"node":{"name":"n3","profiles":["gpu"],"primary_network":"ib0","interfaces":[{"name":"default","ip":"10.1.0.13"},{"name":"ib0","type":"infiniband"}]}}`))
			if _, err := s.Apply(Entry{Command: c.do}, s.Revision()+1); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q and the text %q", err, c.want, c.text)
			}
		})
	}
	// A profile alone holds an image, too.
	s := mustApply(t, start4(t), SetNodes{Names: []string{"n1"}, Image: &ImageRef{}})
	if _, err := s.Apply(Entry{Command: DeleteImage{Image: "debian"}}, s.Revision()+1); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "by profile base") {
		t.Errorf("an image that a profile has: %v, want ErrInUse", err)
	}
}

// TestAnArmedNodeStaysArmed puts a node that waits for a machine, and looks at it before its network had another name.
func TestAnArmedNodeStaysArmed(t *testing.T) {
	s := mustApply(t, start4(t), edit(t, `{"node":{"name":"n9","interfaces":[{"name":"default","ip":"10.1.0.19"}]}}`),
		ArmDiscovery{Names: []string{"n9"}, Until: noon.Add(time.Hour)}, edit(t, `{"node":{"name":"n9","rack":"r1","interfaces":[{"name":"default","ip":"10.1.0.29"}]}}`))
	if n, _ := s.Node("n9"); n.Discover.IsZero() || n.Rack != "r1" || !s.Armed("boot", noon) {
		t.Errorf("n9 is %+v", n)
	}
	named := s.Revision()
	s = mustApply(t, s, edit(t, `{"network":{"name":"lan","subnet":"10.1.0.0/24","dhcp":"full"}}`, Ref{ObjectNetwork, "boot"}))
	then, err := s.At(named)
	if err != nil || !then.Armed("boot", noon) || then.Armed("lan", noon) || !s.Armed("lan", noon) {
		t.Errorf("armed on boot %t and on lan %t then, on lan %t now, %v", then.Armed("boot", noon), then.Armed("lan", noon), s.Armed("lan", noon), err)
	}
	if err := checkIndexes(then); err != nil {
		t.Error(err)
	}
	s = mustApply(t, s, edit(t, `{"node":{"name":"n9"}}`))
	if n, _ := s.Node("n9"); !n.Discover.IsZero() || s.Armed("lan", noon) {
		t.Errorf("without an interface n9 is %+v", n)
	}
}

// TestWhatChangesTwiceWasWhatItWasFirst has one command change a node twice.
func TestWhatChangesTwiceWasWhatItWasFirst(t *testing.T) {
	s := mustApply(t, start4(t), edit(t, `{"node":{"name":"n9","rack":"r1"}}`))
	before := s.Revision()
	s = mustApply(t, s, SetNodes{Names: []string{"n9", "n9"}, Rack: ptr("r2")})
	then, err := s.At(before)
	if n, _ := then.Node("n9"); err != nil || n.Rack != "r1" {
		t.Errorf("n9 was %+v, %v", n, err)
	}
}

func TestUsersOf(t *testing.T) {
	s := mustApply(t, start4(t), edit(t, `{"profile":{"name":"x","profiles":["y"]}} {"profile":{"name":"y","profiles":["~w","z"]}} {"profile":{"name":"z"}} {"profile":{"name":"w"}}
		{"node":{"name":"n7","profiles":["x"]}} {"node":{"name":"n8","profiles":["z","gpu"]}} {"node":{"name":"n9","profiles":["~w"]}}`))
	for profile, want := range map[string]string{"x": "n7", "y": "n7", "z": "n7 n8", "w": "n7 n9", "base": "n2 n3 n8", "nosuch": ""} {
		if got := strings.Join(s.UsersOf(profile), " "); got != want {
			t.Errorf("users of %s: %s; want %s", profile, got, want)
		}
	}
	if got := strings.Join(s.UsersOf("base", "y"), " "); got != "n2 n3 n7 n8" {
		t.Errorf("users of two: %s", got)
	}
}
