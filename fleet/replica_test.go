package fleet

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// commands draws commands that get in each other's way: few names, few addresses.
func commands() *rapid.Generator[Command] {
	name := rapid.StringMatching(`n[1-6]`)
	names := rapid.SliceOfNDistinct(name, 1, 2, rapid.ID)
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(1, 2).Draw(t, "net")), 0, byte(rapid.IntRange(0, 60).Draw(t, "host"))})
	})
	hw := rapid.Custom(func(t *rapid.T) MAC { return mac(byte(rapid.IntRange(0, 20).Draw(t, "mac"))) })
	iface := rapid.Custom(func(t *rapid.T) Interface {
		i := Interface{Name: "default", MAC: hw.Draw(t, "hw"), IP: address.Draw(t, "ip")}
		if rapid.Bool().Draw(t, "bare") {
			i.MAC = MAC{}
		}
		return i
	})
	image := rapid.SampledFrom([]string{"debian", "rocky"})
	heads := []string{"head1", "head2", "head3", "head4"}
	head := rapid.SampledFrom(heads)
	holders := rapid.SliceOfN(head, 1, 4)
	return rapid.Custom(func(t *rapid.T) Command {
		switch rapid.IntRange(0, 20).Draw(t, "kind") {
		case 19:
			serial := rapid.StringMatching(`[1-9a-f]`).Draw(t, "serial")
			role := rapid.SampledFrom([]UserRole{UserViewer, UserOperator}).Draw(t, "role")
			c := certify(rapid.SampledFrom([]string{"mia", "tom", "eve"}).Draw(t, "user"), role, serial, rapid.IntRange(-1, 8).Draw(t, "hours"))
			return &c
		case 20:
			return &DeleteUser{rapid.SampledFrom([]string{"mia", "tom"}).Draw(t, "user")}
		case 17, 18:
			e := edits().Draw(t, "edit")
			return &e
		case 0, 1, 14:
			return &AddNodes{[]Node{node(name.Draw(t, "a"), iface.Draw(t, "if"))}}
		case 2:
			m, a := hw.Draw(t, "m"), address.Draw(t, "a")
			n := name.Draw(t, "n")
			return &SetNodes{Names: []string{n}, Interfaces: []SetInterface{{Node: n, Name: "default", MAC: &m, IP: &a}}}
		case 3:
			return &DeleteNodes{names.Draw(t, "names")}
		case 4:
			return &AddImageVersion{Image: image.Draw(t, "i"), Version: testVersion(), Holders: holders.Draw(t, "holders")}
		case 5:
			return &DeleteImage{Image: image.Draw(t, "i"), Version: rapid.IntRange(0, 3).Draw(t, "v")}
		case 6:
			n := testNetwork()
			n.Gateway, n.Discovery = address.Draw(t, "gw"), Range{}
			return &PutNetwork{Network: n}
		case 7:
			n := Network{Name: "ib", Subnet: netip.PrefixFrom(ip("10.2.0.0"), rapid.IntRange(24, 30).Draw(t, "bits")), DHCP: DHCPFull}
			return &PutNetwork{Network: n, Create: rapid.Bool().Draw(t, "create")}
		case 8:
			return &DeleteNetwork{"ib"}
		case 9, 10:
			return &ArmDiscovery{Names: names.Draw(t, "names"), Until: noon.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "hours")) * time.Hour)}
		case 11, 15, 16:
			return &ClaimNode{MAC: hw.Draw(t, "m"), Network: rapid.SampledFrom([]string{"boot", "ib"}).Draw(t, "network")}
		case 12:
			id := head.Draw(t, "id")
			if rapid.Bool().Draw(t, "token") {
				return &AddJoinToken{testToken(id)}
			}
			return &JoinController{Token: id, Proof: testToken(id).Hash, Controller: testController(id, address.Draw(t, "a").As4()[3])}
		default:
			return rapid.SampledFrom([]Command{&RemoveController{head.Draw(t, "id")}, &SetFormat{2}, &SetFormat{3}, &SetFormat{4}, &SealCAKey{Secret("sealed")},
				setSeeding(1<<20, "/run/job"), setSeeding(0, ""), setSeeding(1, "job"),
				&ReplaceControllers{[]Controller{testController("head1", 1), testController("head2", 2)}}}).Draw(t, "other")
		}
	})
}

// TestReplicasAgree applies random entries, repeated ones among them, to a state, to one that goes through the log's
// encoding, and to one that is restored from a snapshot on the way.
func TestReplicasAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		direct := start(t)
		if rapid.IntRange(0, 3).Draw(t, "format") > 0 {
			direct = start2(t)
		}
		direct = populate(t, direct)
		if rapid.Bool().Draw(t, "configured") {
			var err error
			if direct, err = direct.Apply(Entry{Command: SetFormat{4}}, direct.Revision()+1); err != nil {
				t.Fatal(err)
			}
		}
		logged := direct
		id := rapid.StringMatching(`(r[1-9])?`)
		for i, c := range rapid.SliceOfN(commands(), 20, 60).Draw(t, "commands") {
			rev := direct.Revision() + 1
			entry := Entry{Command: c, ID: id.Draw(t, "id"), At: noon.Add(time.Duration(i) * 5 * time.Minute)}
			if rapid.IntRange(0, 9).Draw(t, "conditional") == 0 {
				entry.If = []Condition{{"node", "n1", Revision(rapid.IntRange(0, 9).Draw(t, "revision"))}}
			}
			b, err := EncodeEntry(entry, logged.Format())
			if err != nil {
				_, repeated := direct.Outcome(entry.ID)
				if _, err1 := direct.Apply(entry, rev); !repeated && fmt.Sprint(err) != fmt.Sprint(err1) {
					t.Fatalf("%s: not encoded since %v, not applied since %v", c.Kind(), err, err1)
				}
				continue
			}
			e, err := DecodeEntry(b, Format)
			if err != nil {
				t.Fatal(err)
			}
			before := direct
			var err1, err2 error
			direct, err1 = direct.Apply(entry, rev)
			logged, err2 = logged.Apply(e, rev)
			if fmt.Sprint(err1) != fmt.Sprint(err2) || (err1 != nil && !IsRefusal(err1)) {
				t.Fatalf("%s: one replica says %v, the other %v", c.Kind(), err1, err2)
			}
			if _, repeated := before.Outcome(entry.ID); repeated && direct.Advance(rev-1).Hash() != before.Hash() {
				t.Fatalf("%s: a repeated entry changed the state", c.Kind())
			}
			if i%7 == 3 {
				logged = reread(t, logged)
			}
		}
		if direct.Hash() != logged.Hash() {
			t.Fatal("two replicas of one log differ")
		}
		for what, s := range map[string]State{"direct": direct, "logged": logged, "reread": reread(t, direct)} {
			if err := checkIndexes(s); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	})
}

// populate gives s a second network and nodes that can be claimed.
func populate(t *rapid.T, s State) State {
	for _, c := range []Command{
		PutNetwork{Network: Network{Name: "ib", Subnet: subnet("10.2.0.0/24"), DHCP: DHCPFull}, Create: true},
		AddNodes{[]Node{at("n2", "10.1.0.62"), at("n3", "10.2.0.63"), node("n4", Interface{Name: "default", IP: ip("10.1.0.64")}, Interface{Name: "ib0", IP: ip("10.2.0.64")})}},
	} {
		var err error
		if s, err = s.Apply(Entry{Command: c}, s.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func reread(t interface{ Fatal(...any) }, s State) State {
	var snap bytes.Buffer
	if _, err := s.WriteTo(&snap); err != nil {
		t.Fatal(err)
	}
	read, err := ReadState(&snap)
	if err != nil {
		t.Fatal(err)
	}
	if read.Hash() != s.Hash() {
		t.Fatal("a state differs after its snapshot was read")
	}
	return read
}

// checkIndexes reports where the indexes of s do not say what its nodes say, or two nodes have one address.
func checkIndexes(s State) error {
	macs, ips, bmcs, users := 0, 0, 0, map[string]bool{}
	var armed []string
	for n := range s.Nodes() {
		for _, i := range n.Interfaces {
			if i.MAC != (MAC{}) {
				macs++
				if holder, _ := s.NodeByMAC(i.MAC); holder.Name != n.Name {
					return fmt.Errorf("MAC %s of %s is indexed for %q", i.MAC, n.Name, holder.Name)
				}
			}
			if i.IP.IsValid() {
				ips++
				if holder, _ := s.NodeByIP(i.IP); holder.Name != n.Name {
					return fmt.Errorf("address %s of %s is indexed for %q", i.IP, n.Name, holder.Name)
				}
			}
			if i.IP6.IsValid() {
				ips++
				if holder, _ := s.NodeByIP(i.IP6); holder.Name != n.Name {
					return fmt.Errorf("address %s of %s is indexed for %q", i.IP6, n.Name, holder.Name)
				}
			}
		}
		if n.BMC.Address.IsValid() {
			bmcs++
			if holder, _ := s.bmcs.get(bmcKey(n.BMC.Address)); holder != n.Name {
				return fmt.Errorf("BMC %s of %s is indexed for %q", n.BMC.Address, n.Name, holder)
			}
		}
		for _, p := range n.Profiles {
			key := userKey(strings.TrimPrefix(p, "~"), n.Name)
			users[string(key)] = true
			if user, _ := s.users.get(key); user != n.Name {
				return fmt.Errorf("%s names %s, which is indexed for %q", n.Name, p, user)
			}
		}
		for _, key := range s.armedKeys(n) {
			armed = append(armed, string(key))
		}
		if !n.Discover.IsZero() && len(s.armedKeys(n)) == 0 {
			return fmt.Errorf("%s is armed and nobody can claim it", n.Name)
		}
	}
	if macs != s.macs.len() || ips != s.ips.len() {
		return fmt.Errorf("%d MACs and %d addresses, %d and %d are indexed", macs, ips, s.macs.len(), s.ips.len())
	}
	if bmcs != s.bmcs.len() || len(users) != s.users.len() {
		return fmt.Errorf("%d BMCs and %d uses of profiles, %d and %d are indexed", bmcs, len(users), s.bmcs.len(), s.users.len())
	}
	slices.Sort(armed)
	armed = slices.Compact(armed) // two interfaces on one network
	at := 0
	for key, _, ok := s.armed.next(nil); ok; key, _, ok = s.armed.next(append(slices.Clone(key), 0)) {
		if at == len(armed) || armed[at] != string(key) {
			return fmt.Errorf("armed key %q is indexed, %d nodes are armed", key, len(armed))
		}
		at++
	}
	if at != len(armed) {
		return fmt.Errorf("%d nodes are armed, %d are indexed", len(armed), at)
	}
	return nil
}

// setSeeding changes how nodes seed.
func setSeeding(upload int64, file string) *SetCluster {
	return &SetCluster{Seeding: &SetSeeding{NodeUpload: &upload, PauseFile: &file}}
}
