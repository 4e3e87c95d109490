package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// discoverable returns a state with a second network, and with nodes that have addresses and no MACs.
func discoverable(t *testing.T, nodes ...Node) State {
	t.Helper()
	s := start2(t)
	for _, c := range []Command{
		PutNetwork{Network: Network{Name: "ib", Subnet: subnet("10.2.0.0/24"), DHCP: DHCPFull}, Create: true},
		AddNodes{Nodes: nodes},
	} {
		var err error
		if s, err = s.Apply(Entry{Command: c, At: noon}, s.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func at(name, address string) Node { return node(name, Interface{Name: "default", IP: ip(address)}) }

func apply(t *testing.T, s State, when time.Time, c Command) State {
	t.Helper()
	next, err := s.Apply(Entry{Command: c, At: when}, s.Revision()+1)
	if err != nil {
		t.Fatalf("%s: %v", c.Kind(), err)
	}
	return next
}

func TestMachinesClaimNodesInNaturalOrder(t *testing.T) {
	s := discoverable(t, at("n10", "10.1.0.30"), at("n2", "10.1.0.31"), at("n9", "10.1.0.32"), at("a1", "10.2.0.5"), at("n3", "10.1.0.33"))
	hour, day := noon.Add(time.Hour), noon.Add(24*time.Hour)
	s = apply(t, s, noon, ArmDiscovery{Names: []string{"n10", "n9", "a1"}, Until: hour})
	s = apply(t, s, noon, ArmDiscovery{Names: []string{"n2"}, Until: day})
	var got []string
	for i := byte(50); s.Armed("boot", noon); i++ {
		s = apply(t, s, noon, &ClaimNode{MAC: mac(i), Network: "boot"})
		n, ok := s.NodeByMAC(mac(i))
		if !ok || !n.Discover.IsZero() || n.Revision != s.Revision() {
			t.Fatalf("claimed %+v, %v", n, ok)
		}
		got = append(got, n.Name)
	}
	if want := []string{"n2", "n9", "n10"}; !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	if _, err := s.Apply(Entry{Command: ClaimNode{MAC: mac(99), Network: "boot"}, At: noon}, 100); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "samara node discover") {
		t.Errorf("one more: %v, want ErrNotFound", err)
	}
	if !s.Armed("ib", noon) || s.Armed("none", noon) || s.Armed("", noon) {
		t.Error("a1 waits on network ib, and nobody elsewhere")
	}
}

func TestClaimsThatAreRefused(t *testing.T) {
	s := discoverable(t, at("n2", "10.1.0.31"))
	s = apply(t, s, noon, ArmDiscovery{Names: []string{"n2"}, Until: noon.Add(time.Hour)})
	for what, c := range map[string]struct {
		do   ClaimNode
		at   time.Time
		want error
		text string
	}{
		"a machine that is known": {ClaimNode{mac(1), "boot"}, noon, ErrExists, "node n1 has it"},
		"another network":         {ClaimNode{mac(9), "ib"}, noon, ErrNotFound, "network ib"},
		"an unknown network":      {ClaimNode{mac(9), "eth"}, noon, ErrNotFound, `"eth"`},
		"too late":                {ClaimNode{mac(9), "boot"}, noon.Add(time.Hour), ErrNotFound, "network boot"},
		"no MAC":                  {ClaimNode{MAC{}, "boot"}, noon, ErrInvalid, "MAC"},
		"a group MAC":             {ClaimNode{MAC{1}, "boot"}, noon, ErrInvalid, "MAC"},
	} {
		after, err := s.Apply(Entry{Command: c.do, At: c.at}, s.Revision()+1)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v and %q", what, err, c.want, c.text)
		}
		if after.Advance(s.Revision()).Hash() != s.Hash() {
			t.Errorf("%s: a refused claim changed the state", what)
		}
	}
	if s.Armed("boot", noon.Add(time.Hour)) || !s.Armed("boot", noon.Add(time.Hour-1)) {
		t.Error("a node is armed until its time, and not at it")
	}
}

func TestWhatCannotBeClaimedCannotBeArmed(t *testing.T) {
	s := discoverable(t, at("n2", "10.1.0.31"), node("n3"), node("n4", Interface{Name: "default", MAC: mac(4), IP: ip("10.1.0.34")}))
	hour := noon.Add(time.Hour)
	for what, c := range map[string]struct {
		do   ArmDiscovery
		want error
		text string
	}{
		"nobody":                   {ArmDiscovery{Until: hour}, ErrInvalid, "no node"},
		"an unknown node":          {ArmDiscovery{[]string{"n2", "n9"}, hour}, ErrNotFound, "n9"},
		"a node without interface": {ArmDiscovery{[]string{"n2", "n3"}, hour}, ErrInvalid, "n3"},
		"a node with its MAC":      {ArmDiscovery{[]string{"n2", "n4"}, hour}, ErrInvalid, "n4"},
		"until now":                {ArmDiscovery{[]string{"n2"}, noon}, ErrInvalid, "want a time after"},
		"for ever":                 {ArmDiscovery{[]string{"n2"}, noon.AddDate(1000, 0, 0)}, ErrInvalid, "want a time after"},
	} {
		if _, err := s.Apply(Entry{Command: c.do, At: noon}, s.Revision()+1); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v and %q", what, err, c.want, c.text)
		}
	}
	if _, err := s.Apply(Entry{Command: AddNodes{[]Node{{Name: "n8", Discover: hour}}}}, s.Revision()+1); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "samara node discover n8") {
		t.Errorf("a new node that is armed: %v, want ErrInvalid", err)
	}
}

func TestDisarming(t *testing.T) {
	hour := noon.Add(time.Hour)
	m, none := mac(9), ip("10.1.0.31")
	for what, c := range map[string]struct {
		do    Command
		armed bool
	}{
		"by command":                     {ArmDiscovery{Names: []string{"n2"}}, false},
		"by giving it a MAC":             {SetNodes{Names: []string{"n2"}, Interfaces: []SetInterface{{Node: "n2", Name: "default", MAC: &m}}}, false},
		"by dropping its interface":      {SetNodes{Names: []string{"n2"}, Interfaces: []SetInterface{{Node: "n2", Name: "default", Drop: true}}}, false},
		"by deleting it":                 {DeleteNodes{[]string{"n2"}}, false},
		"not by another interface's MAC": {SetNodes{Names: []string{"n2"}, Interfaces: []SetInterface{{Node: "n2", Name: "bmc", MAC: &m}}}, true},
		"not by what it has already":     {SetNodes{Names: []string{"n2"}, Interfaces: []SetInterface{{Node: "n2", Name: "default", IP: &none}}}, true},
		"not by arming it for longer":    {ArmDiscovery{Names: []string{"n2"}, Until: hour.Add(time.Hour)}, true},
		"not by a wider network":         {PutNetwork{Network: Network{Name: "boot", Subnet: subnet("10.1.0.0/16"), DHCP: DHCPFull}}, true},
	} {
		s := discoverable(t, at("n2", "10.1.0.31"))
		s = apply(t, s, noon, ArmDiscovery{Names: []string{"n2"}, Until: hour})
		s = apply(t, s, noon, c.do)
		if n, ok := s.Node("n2"); s.Armed("boot", noon) != c.armed || (ok && n.Discover.IsZero() == c.armed) {
			t.Errorf("%s: armed %v in the index and %v in the node, want %v", what, s.Armed("boot", noon), n.Discover, c.armed)
		}
		if err := checkIndexes(s); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAMachineGetsTheInterfaceOfItsNetwork(t *testing.T) {
	s := discoverable(t, node("n2", Interface{Name: "mgmt", MAC: mac(7), IP: ip("10.1.0.30")}, Interface{Name: "a", IP: ip("10.2.0.31")},
		Interface{Name: "b", IP: ip("10.1.0.31")}, Interface{Name: "c", IP: ip("10.1.0.32")}, Interface{Name: "d"}))
	s = apply(t, s, noon, ArmDiscovery{Names: []string{"n2"}, Until: noon.Add(time.Hour)})
	if !s.Armed("ib", noon) || !s.Armed("boot", noon) {
		t.Error("it is not armed on both networks")
	}
	s = apply(t, s, noon, ClaimNode{MAC: mac(9), Network: "boot"})
	n, _ := s.Node("n2")
	if i, ok := n.Interface(mac(9)); !ok || i.Name != "b" || s.Armed("ib", noon) || s.Armed("boot", noon) {
		t.Errorf("the machine got %+v, want interface b, and the node claimed on all its networks", n.Interfaces)
	}
	if plan, i, _, err := s.Reservation(mac(9)); err != nil || plan.Name != "n2" || i.IP != ip("10.1.0.31") {
		t.Errorf("the machine's reservation is %v of %s, %v", i, plan.Name, err)
	}
}

func TestEveryClaimGetsANodeOfItsOwn(t *testing.T) {
	var nodes []Node
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("n%d", i+100))
		nodes = append(nodes, at(names[i], fmt.Sprintf("10.1.0.%d", 20+i)))
	}
	s := discoverable(t, nodes...)
	for i, name := range names { // each with a time of its own
		s = apply(t, s, noon, ArmDiscovery{Names: []string{name}, Until: noon.Add(time.Hour + time.Duration(i%7)*time.Minute)})
	}
	for i := range 40 {
		s = apply(t, s, noon, ClaimNode{MAC: mac(byte(100 + i)), Network: "boot"})
		if n, _ := s.NodeByMAC(mac(byte(100 + i))); n.Name != names[i] {
			t.Fatalf("machine %d is %s, want %s", i, n.Name, names[i])
		}
	}
	if err := checkIndexes(s); err != nil {
		t.Error(err)
	}
}
