package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func ip(s string) netip.Addr       { return netip.MustParseAddr(s) }
func subnet(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func mac(last byte) MAC { return MAC{0x52, 0x54, 0, 0, 0, last} }

func blob(b byte) Blob { return Blob{Digest: Digest{b}, Size: int64(b) + 1} }

func testCluster() Cluster {
	key := bytes.Repeat([]byte{7}, 32)
	return Cluster{Name: "c1", ID: "0123", CA: []byte("ca"), CAKey: []byte("canary-ca-key"), MeshKey: key, TokenKey: key, IDKey: key,
		Controllers: []Controller{{ID: "head1", Address: ip("10.1.0.1"), Ports: DefaultPorts}}}
}

func testNetwork() Network {
	return Network{Name: "boot", Subnet: subnet("10.1.0.0/24"), Gateway: ip("10.1.0.254"), DHCP: DHCPFull,
		Discovery: Range{ip("10.1.0.200"), ip("10.1.0.220")}}
}

func testVersion() ImageVersion {
	return ImageVersion{Root: blob(1), Torrent: blob(2), Kernel: blob(3), Initramfs: blob(4), Agent: Digest{5},
		KernelRelease: "6.1.0-40-amd64", Arch: "amd64", Source: "debian.tar", Imported: time.Unix(1e9, 0).UTC()}
}

// start returns a state with a cluster, a network, an image and node n1.
func start(t interface {
	Helper()
	Fatalf(string, ...any)
}) State {
	t.Helper()
	s := State{}
	for _, c := range []Command{
		InitCluster{Cluster: testCluster(), Networks: []Network{testNetwork()}},
		AddImageVersion{Image: "debian", Version: testVersion()},
		AddNodes{Nodes: []Node{{Name: "n1", Settings: Settings{Image: ImageRef{Name: "debian"}, Interfaces: []Interface{{Name: "default", MAC: mac(1), IP: ip("10.1.0.11")}}}}}},
	} {
		var err error
		if s, err = s.Apply(Entry{Command: c}, s.Revision()+1); err != nil {
			t.Fatalf("%s: %v", c.Kind(), err)
		}
	}
	return s
}

func node(name string, i ...Interface) Node {
	return Node{Name: name, Settings: Settings{Interfaces: i}}
}

func TestRefusals(t *testing.T) {
	args := func(a ...string) *[]string { return &a }
	network := func(edit func(*Network)) Command {
		n := testNetwork()
		n.Name, n.Subnet, n.Gateway, n.Discovery = "other", subnet("10.2.0.0/24"), netip.Addr{}, Range{}
		edit(&n)
		return PutNetwork{Network: n, Create: true}
	}
	for what, c := range map[string]struct {
		do   Command
		want error
		text string
	}{
		"a second init":                                   {InitCluster{Cluster: testCluster()}, ErrExists, "c1"},
		"no node":                                         {AddNodes{}, ErrInvalid, "no node"},
		"a node that exists":                              {AddNodes{[]Node{node("n1")}}, ErrExists, "n1"},
		"a name in capitals":                              {AddNodes{[]Node{node("N2")}}, ErrInvalid, `'N' at position 1`},
		"a name with a newline":                           {AddNodes{[]Node{node("n2\nn3")}}, ErrInvalid, "position 3"},
		"an empty name":                                   {AddNodes{[]Node{node("")}}, ErrInvalid, "1 to 63"},
		"a MAC in use":                                    {AddNodes{[]Node{node("n2", Interface{Name: "default", MAC: mac(1)})}}, ErrExists, "n1 has it"},
		"an IP in use":                                    {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("10.1.0.11")})}}, ErrExists, "n1 has it"},
		"an IP in no network":                             {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("10.9.0.1")})}}, ErrInvalid, "in no network"},
		"a network address":                               {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("10.1.0.0")})}}, ErrInvalid, "network address"},
		"a broadcast address":                             {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("10.1.0.255")})}}, ErrInvalid, "broadcast address"},
		"the gateway's address":                           {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("10.1.0.254")})}}, ErrInvalid, "gateway"},
		"a controller's address":                          {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("10.1.0.1")})}}, ErrInvalid, "head1 has it"},
		"an address of the discovery pool":                {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("10.1.0.210")})}}, ErrInvalid, "discovery pool"},
		"IPv6":                                            {AddNodes{[]Node{node("n2", Interface{Name: "default", IP: ip("fe80::1")})}}, ErrInvalid, "IPv4"},
		"a group MAC":                                     {AddNodes{[]Node{node("n2", Interface{Name: "default", MAC: MAC{1}})}}, ErrInvalid, "group"},
		"one MAC twice in a node":                         {AddNodes{[]Node{node("n2", Interface{Name: "a", MAC: mac(9)}, Interface{Name: "b", MAC: mac(9)})}}, ErrInvalid, "a and b"},
		"one MAC twice in a change":                       {AddNodes{[]Node{node("n2", Interface{Name: "a", MAC: mac(9)}), node("n3", Interface{Name: "a", MAC: mac(9)})}}, ErrExists, "n2 has it"},
		"an unknown image":                                {SetNodes{Names: []string{"n1"}, Image: &ImageRef{Name: "rocky"}}, ErrNotFound, `"rocky"`},
		"an unknown version":                              {SetNodes{Names: []string{"n1"}, Image: &ImageRef{"debian", 7}}, ErrNotFound, "it has 1"},
		"an unknown node":                                 {SetNodes{Names: []string{"n1", "n9"}}, ErrNotFound, "n9"},
		"an interface of a node not named":                {SetNodes{Names: []string{"n1"}, Interfaces: []SetInterface{{Node: "n2", Name: "default"}}}, ErrInvalid, "n2"},
		"dropping an absent interface":                    {SetNodes{Names: []string{"n1"}, Interfaces: []SetInterface{{Node: "n1", Name: "ib0", Drop: true}}}, ErrNotFound, "ib0"},
		"a kernel argument with a blank":                  {SetNodes{Names: []string{"n1"}, KernelArgs: args("a b")}, ErrInvalid, "one word"},
		"a kernel argument of our own":                    {SetNodes{Names: []string{"n1"}, KernelArgs: args("samara.ca=00")}, ErrInvalid, "sets samara.ca="},
		"a kernel argument that escapes":                  {SetNodes{Names: []string{"n1"}, KernelArgs: args("${net0/mac}")}, ErrInvalid, "one word"},
		"a kernel argument that iPXE takes for a comment": {SetNodes{Names: []string{"n1"}, KernelArgs: args("a#b")}, ErrInvalid, "one word"},
		"too many kernel arguments":                       {SetNodes{Names: []string{"n1"}, KernelArgs: args(strings.Split(strings.Repeat("quiet ", 129), " ")[:129]...)}, ErrInvalid, "at most 128"},
		"deleting an unknown node":                        {DeleteNodes{[]string{"n1", "n2"}}, ErrNotFound, "n2"},
		"deleting no node":                                {DeleteNodes{}, ErrInvalid, "no node"},
		"deleting a network in use":                       {DeleteNetwork{"boot"}, ErrInUse, "n1"},
		"deleting an image in use":                        {DeleteImage{Image: "debian"}, ErrInUse, "n1"},
		"deleting the last version in use":                {DeleteImage{Image: "debian", Version: 1}, ErrInUse, "n1"},
		"deleting an unknown version":                     {DeleteImage{Image: "debian", Version: 2}, ErrNotFound, "version 2"},
		"a network that exists":                           {PutNetwork{Network: testNetwork(), Create: true}, ErrExists, "boot"},
		"an overlapping network":                          {network(func(n *Network) { n.Subnet = subnet("10.1.0.0/16") }), ErrInvalid, "overlaps network boot"},
		"a subnet with host bits":                         {network(func(n *Network) { n.Subnet = subnet("10.2.0.5/24") }), ErrInvalid, "did you mean 10.2.0.0/24"},
		"a /31":                                           {network(func(n *Network) { n.Subnet = subnet("10.2.0.0/31") }), ErrInvalid, "8 to 30"},
		"a gateway elsewhere":                             {network(func(n *Network) { n.Gateway = ip("10.3.0.1") }), ErrInvalid, "gateway"},
		"a pool that holds the gateway":                   {network(func(n *Network) { n.Gateway = ip("10.2.0.5"); n.Discovery = Range{ip("10.2.0.1"), ip("10.2.0.9")} }), ErrInvalid, "contains the gateway"},
		"an unknown DHCP mode":                            {network(func(n *Network) { n.DHCP = "maybe" }), ErrInvalid, "full, proxy or off"},
		"a domain with a blank":                           {network(func(n *Network) { n.Domain = "a b" }), ErrInvalid, "domain"},
		"a network that nodes would not fit":              {PutNetwork{Network: Network{Name: "boot", Subnet: subnet("10.1.0.128/25"), DHCP: DHCPFull}}, ErrInvalid, "n1 would not fit"},
		"an authorized key with a newline":                {SetCluster{AuthorizedKeys: args("ssh-ed25519 AAAA\nroot")}, ErrInvalid, "control character"},
		"an authorized key of one word":                   {SetCluster{AuthorizedKeys: args("hello")}, ErrInvalid, "ssh-ed25519"},
		"an image version without a kernel":               {AddImageVersion{Image: "debian", Version: ImageVersion{Root: blob(1), Torrent: blob(2), Initramfs: blob(3), Arch: "amd64"}}, ErrInvalid, "kernel"},
	} {
		t.Run(what, func(t *testing.T) {
			before := start(t)
			after, err := before.Apply(Entry{Command: c.do}, before.Revision()+1)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q and the text %q", err, c.want, c.text)
			}
			if strings.ContainsAny(fmt.Sprint(err), "\n") {
				t.Errorf("the reason is not one line: %q", err)
			}
			if got, want := after.Advance(before.Revision()).Hash(), before.Hash(); got != want {
				t.Error("a refused change changed the state")
			}
		})
	}
}

func TestNodesMaySwapAddresses(t *testing.T) {
	s := start(t)
	s, err := s.Apply(Entry{Command: AddNodes{[]Node{node("n2", Interface{Name: "default", MAC: mac(2), IP: ip("10.1.0.12")})}}}, 10)
	if err != nil {
		t.Fatal(err)
	}
	m1, m2 := mac(1), mac(2)
	s, err = s.Apply(Entry{Command: SetNodes{Names: []string{"n1", "n2"}, Interfaces: []SetInterface{
		{Node: "n1", Name: "default", MAC: &m2}, {Node: "n2", Name: "default", MAC: &m1}}}}, 11)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := s.NodeByMAC(mac(1)); n.Name != "n2" {
		t.Errorf("MAC 1 belongs to %s, want n2", n.Name)
	}
}

func TestPlan(t *testing.T) {
	s := start(t)
	plan, err := s.Plan(mac(1))
	if err != nil {
		t.Fatal(err)
	}
	if plan.Node.Name != "n1" || plan.Version.Number != 1 || plan.Network.Name != "boot" || plan.Revision != s.Revision() {
		t.Errorf("plan: %+v", plan)
	}
	if _, err := s.Plan(mac(99)); !errors.Is(err, ErrUnknown) {
		t.Errorf("a MAC of no node: %v, want ErrUnknown", err)
	}

	// A node without a version follows the newest; a pinned one stays.
	s, err = s.Apply(Entry{Command: AddImageVersion{Image: "debian", Version: testVersion()}}, 20)
	if err != nil {
		t.Fatal(err)
	}
	if plan, _ := s.Plan(mac(1)); plan.Version.Number != 2 {
		t.Errorf("version %d, want the newest, 2", plan.Version.Number)
	}
	s, err = s.Apply(Entry{Command: SetNodes{Names: []string{"n1"}, Image: &ImageRef{"debian", 1}}}, 21)
	if err != nil {
		t.Fatal(err)
	}
	if plan, _ := s.Plan(mac(1)); plan.Version.Number != 1 {
		t.Errorf("version %d, want the pinned one, 1", plan.Version.Number)
	}
	if _, err := s.Apply(Entry{Command: DeleteImage{Image: "debian", Version: 1}}, 22); !errors.Is(err, ErrInUse) {
		t.Errorf("deleting a pinned version: %v, want ErrInUse", err)
	}
	s, err = s.Apply(Entry{Command: SetNodes{Names: []string{"n1"}, Image: &ImageRef{}}}, 23)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(mac(1)); err == nil || !strings.Contains(err.Error(), "samara node set n1 --image") {
		t.Errorf("a node without an image: %v, want the command that gives it one", err)
	}
}

func TestMachineIDIsStableAndSecret(t *testing.T) {
	c := testCluster()
	first, again, other := c.MachineID("n1"), c.MachineID("n1"), c.MachineID("n2")
	if first != again || first == other || len(first) != 32 {
		t.Errorf("machine ids of n1 %s and %s, of n2 %s", first, again, other)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	c := testCluster()
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%x %q %d", c.CAKey, c.CAKey, c.CAKey)} {
		if strings.Contains(text, "canary") || strings.Contains(text, "63616e617279") || strings.Contains(text, "99 97 110") {
			t.Errorf("a secret is printed: %s", text)
		}
	}
}

func TestEveryKindOfCommandSurvivesTheLog(t *testing.T) {
	for kind, k := range kinds {
		c := k.make()
		if c.Kind() != kind {
			t.Errorf("%T says it is %q, the table says %q", c, c.Kind(), kind)
		}
		b, err := EncodeEntry(Entry{Command: c, At: time.Unix(1, 0), Who: "root@local", Why: "why"}, Format)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		e, err := DecodeEntry(b, Format)
		if err != nil || e.Command.Kind() != kind || e.Who != "root@local" || e.Why != "why" || !e.At.Equal(time.Unix(1, 0)) {
			t.Errorf("%s: got %+v, %v", kind, e, err)
		}
	}
}

func TestUndecodableEntries(t *testing.T) {
	for what, b := range map[string]string{
		"nothing":           "",
		"another kind":      `{"kind":"node.paint","body":{}}`,
		"another field":     `{"kind":"node.delete","body":{"names":["n1"],"force":true}}`,
		"a torn entry":      `{"kind":"node.delete","body":{"names":["n1"`,
		"a bad value":       `{"kind":"node.set","body":{"names":["n1"],"image":"debian:x"}}`,
		"an unknown header": `{"kind":"node.delete","body":{},"term":1}`,
	} {
		if _, err := DecodeEntry([]byte(b), Format); !errors.Is(err, ErrUndecodable) {
			t.Errorf("%s: got %v, want ErrUndecodable", what, err)
		}
	}
	if _, err := EncodeEntry(Entry{Command: DeleteNodes{Names: []string{strings.Repeat("x", MaxEntry)}}}, 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("an entry over the bound: %v, want ErrInvalid", err)
	}
}

func TestSnapshotHoldsTheWholeState(t *testing.T) {
	s := start(t)
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadState(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash() != s.Hash() || got.Revision() != s.Revision() {
		t.Error("a state differs after its snapshot was read")
	}
	if n, ok := got.NodeByIP(ip("10.1.0.11")); !ok || n.Name != "n1" {
		t.Error("the index by address was not rebuilt")
	}
	if c, _ := got.Cluster(); string(c.CAKey) != "canary-ca-key" {
		t.Error("a secret did not survive the snapshot")
	}
	for cut := 0; cut < b.Len(); cut += 37 {
		if _, err := ReadState(bytes.NewReader(b.Bytes()[:cut])); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("a snapshot cut at %d of %d bytes: %v, want ErrSnapshot", cut, b.Len(), err)
		}
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"52:54:00:12:34:56": "52:54:00:12:34:56", "52-54-00-AB-CD-EF": "52:54:00:ab:cd:ef", "525400abcdef": "52:54:00:ab:cd:ef",
	} {
		if got, err := ParseMAC(in); err != nil || got.String() != want {
			t.Errorf("ParseMAC(%q) = %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "52:54:00:12:34", "52:54:00:12:34:5g", "52:54-00:12:34:56", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "52:54:00:12:34:567"} {
		if _, err := ParseMAC(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseMAC(%q) = %v, want ErrInvalid", in, err)
		}
	}
	for _, in := range []string{"debian", "debian:3", ""} {
		if got, err := ParseImageRef(in); err != nil || got.String() != in {
			t.Errorf("ParseImageRef(%q) = %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"debian:", "debian:0", "debian:01", "debian:-1", ":1", "De"} {
		if _, err := ParseImageRef(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseImageRef(%q) = %v, want ErrInvalid", in, err)
		}
	}
	for _, in := range []string{"10.0.0.9-10.0.0.1", "10.0.0.1", "a-b", "fe80::1-fe80::2"} {
		if _, err := ParseRange(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseRange(%q) = %v, want ErrInvalid", in, err)
		}
	}
	if _, err := ParseDigest(strings.Repeat("A", 64)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a digest in capitals: %v, want ErrInvalid", err)
	}
}

func TestJSONLeavesOutWhatIsNotSet(t *testing.T) {
	b, err := json.Marshal(Node{Name: "n1"})
	if got, want := string(b), `{"name":"n1"}`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// TestANodeThatIsNamedTwice is refused, or not, as older releases do in the same cluster.
func TestANodeThatIsNamedTwice(t *testing.T) {
	s := start(t)
	rack := "r1"
	if _, err := s.Apply(Entry{Command: SetNodes{Names: []string{"n1", "n1"}, Rack: &rack}}, 10); !errors.Is(err, ErrExists) {
		t.Errorf("with addresses: %v, want ErrExists", err)
	}
	s, err := s.Apply(Entry{Command: AddNodes{[]Node{node("n2")}}}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(Entry{Command: SetNodes{Names: []string{"n2", "n2"}, Rack: &rack}}, 11); err != nil {
		t.Errorf("without addresses: %v", err)
	}
}
