package fleet

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// large returns a state with 10,000 nodes, each with an address and an image.
func large(b *testing.B) State {
	b.Helper()
	s := State{}
	n := testNetwork()
	n.Subnet, n.Gateway, n.Discovery = subnet("10.1.0.0/16"), netip.Addr{}, Range{}
	nodes := make([]Node, 10_000)
	for i := range nodes {
		nodes[i] = Node{Name: fmt.Sprintf("n%05d", i), Settings: Settings{Image: ImageRef{Name: "debian"}, Interfaces: []Interface{{
			Name: "default", MAC: MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, IP: netip.AddrFrom4([4]byte{10, 1, byte(1 + i>>8), byte(i)})}}}}
		if nodes[i].Interfaces[0].IP == n.Broadcast() {
			b.Fatal("the network is too small")
		}
	}
	for _, c := range []Command{InitCluster{Cluster: testCluster(), Networks: []Network{n}}, AddImageVersion{Image: "debian", Version: testVersion()}, AddNodes{nodes}} {
		var err error
		if s, err = s.Apply(Entry{Command: c}, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkPlan is what every request on the boot path begins with, among 10,000 nodes.
func BenchmarkPlan(b *testing.B) {
	s := large(b)
	for i := 0; b.Loop(); i++ {
		at := i % 10_000
		if _, err := s.Plan(MAC{2, 0, 0, 0, byte(at >> 8), byte(at)}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply changes one node among 10,000.
func BenchmarkApply(b *testing.B) {
	s := large(b)
	args := []string{"quiet"}
	for i := 0; b.Loop(); i++ {
		c := SetNodes{Names: []string{fmt.Sprintf("n%05d", i%10_000)}, KernelArgs: &args}
		var err error
		if s, err = s.Apply(Entry{Command: c}, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSnapshot writes a state of 10,000 nodes.
func BenchmarkSnapshot(b *testing.B) {
	s := large(b)
	for b.Loop() {
		s.Hash()
	}
}

// BenchmarkApplyWithID changes one node among 10,000, by entries that are remembered. It tells what the memory of the
// outcomes holds when it is full.
func BenchmarkApplyWithID(b *testing.B) {
	s := large(b)
	var err error
	if s, err = s.Apply(Entry{Command: SetFormat{2}}, s.Revision()+1); err != nil {
		b.Fatal(err)
	}
	args := []string{"quiet"}
	change := func(i int) {
		c := SetNodes{Names: []string{fmt.Sprintf("n%05d", i%10_000)}, KernelArgs: &args}
		if s, err = s.Apply(Entry{Command: c, ID: fmt.Sprintf("%032x", i)}, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
	var full outcomes
	before := heap()
	for i := range MaxOutcomes + 1000 {
		full = full.add(&Outcome{ID: fmt.Sprintf("%032x", i), Revision: Revision(i)})
	}
	held := heap() - before
	runtime.KeepAlive(full)
	for i := range MaxOutcomes {
		change(i + 1<<30)
	}
	for i := 0; b.Loop(); i++ {
		change(i)
	}
	b.ReportMetric(float64(held)/1024, "outcomes-KiB")
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkArmed is what each request of an unknown machine costs, among 10,000 nodes of which half were armed for
// times that have passed.
func BenchmarkArmed(b *testing.B) {
	s := armed(b)
	for b.Loop() {
		if !s.Armed("boot", noon) {
			b.Fatal("no node is armed")
		}
	}
}

// BenchmarkClaim claims one of 10,000 armed nodes.
func BenchmarkClaim(b *testing.B) {
	s := armed(b)
	e := Entry{Command: ClaimNode{MAC: mac(1), Network: "boot"}, At: noon}
	for b.Loop() {
		if _, err := s.Apply(e, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
}

// armed returns a state with 10,000 nodes without a MAC, all armed: half of them until an hour ago.
func armed(b *testing.B) State {
	b.Helper()
	s := large(b)
	var names []string
	var bare []SetInterface
	for n := range s.Nodes() {
		names = append(names, n.Name)
		bare = append(bare, SetInterface{Node: n.Name, Name: "default", MAC: new(MAC)})
	}
	for _, e := range []Entry{
		{Command: SetFormat{2}},
		{Command: SetNodes{Names: names, Interfaces: bare}},
		{Command: ArmDiscovery{Names: names[:5000], Until: noon.Add(-time.Hour)}},
		{Command: ArmDiscovery{Names: names[5000:], Until: noon.Add(time.Hour)}},
	} {
		var err error
		if s, err = s.Apply(e, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// site returns a state with 10,000 nodes of 30 profiles: each node names 3, of which one brings two others.
func site(tb testing.TB) State {
	tb.Helper()
	n := testNetwork()
	n.Subnet, n.Gateway, n.Discovery = subnet("10.1.0.0/16"), netip.Addr{}, Range{}
	s := mustApply(tb, State{}, InitCluster{Cluster: testCluster(), Networks: []Network{n}}, AddImageVersion{Image: "debian", Version: testVersion()}, SetFormat{4})
	var e Edit
	for i := range 30 {
		p := Profile{Name: fmt.Sprintf("p%02d", i), Settings: Settings{KernelArgs: []string{fmt.Sprintf("arg%d", i)}, Tags: map[string]string{fmt.Sprintf("tag%d", i): "value"}}}
		switch {
		case i < 10:
			p.Image, p.Interfaces = ImageRef{Name: "debian"}, []Interface{{Name: "default", Netmask: 16, MTU: 9000}}
			p.BMC = BMC{User: "admin", Password: Secret("secret"), Driver: "lanplus"}
		case i >= 20:
			p.Profiles = []string{fmt.Sprintf("p%02d", i-10), fmt.Sprintf("p%02d", i-20)}
			p.Resources = map[string]Resource{"fstab": `[{"file":"/home","spec":"nfs1:/home","vfstype":"nfs"}]`}
		}
		e.Puts = append(e.Puts, Object{Profile: &p})
	}
	nodes := manyNodes(10_000)
	for i := range nodes {
		nodes[i].Profiles = []string{fmt.Sprintf("p%02d", i%10), fmt.Sprintf("p%02d", 10+i/10%10), fmt.Sprintf("p%02d", 20+i/100%10)}
		nodes[i].BMC.Address = netip.AddrFrom4([4]byte{10, 9, byte(1 + i>>8), byte(i)})
	}
	e.Puts = append(e.Puts, putNodes(nodes).Puts...)
	return mustApply(tb, s, e)
}

// BenchmarkResolveAll resolves 10,000 nodes of 30 profiles.
func BenchmarkResolveAll(b *testing.B) {
	s := site(b)
	b.ReportAllocs()
	for b.Loop() {
		for n := range s.ResolveAll() {
			if n.Image.IsZero() {
				b.Fatal("a node without an image")
			}
		}
	}
}

// BenchmarkResolve resolves one node among 10,000.
func BenchmarkResolve(b *testing.B) {
	s := site(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Resolve(fmt.Sprintf("n%05d", i%10_000)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEdit10000 changes one setting of each of 10,000 nodes. It tells what the state holds before and what the change
// adds, which the history keeps.
func BenchmarkEdit10000(b *testing.B) {
	before := heap()
	s := site(b)
	held := heap() - before
	all := func(rack string) Edit {
		var e Edit
		for n := range s.Nodes() {
			n.Rack = rack
			e.Puts = append(e.Puts, Object{Node: &n})
		}
		return e
	}
	e := Entry{Command: all("r0"), At: noon}
	var after State
	for b.Loop() {
		var err error
		if after, err = s.Apply(e, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
	e = Entry{}
	both := heap() - before
	runtime.KeepAlive(after)
	runtime.KeepAlive(s)
	b.ReportMetric(float64(held)/(1<<20), "state-MiB")
	b.ReportMetric(float64(both-held)/(1<<20), "change-MiB")
}

// BenchmarkEditProfile changes a profile that 1,000 of 10,000 nodes use.
func BenchmarkEditProfile(b *testing.B) {
	s := site(b)
	p, _ := s.Profile("p15")
	p.Init = "/init"
	e := Entry{Command: Edit{Puts: []Object{{Profile: &p}}}, At: noon}
	for b.Loop() {
		if _, err := s.Apply(e, s.Revision()+1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode10000 writes and reads an entry that changes 10,000 nodes.
func BenchmarkEncode10000(b *testing.B) {
	e := Entry{Command: putNodes(manyNodes(10_000)), At: noon}
	for b.Loop() {
		bytes, err := EncodeEntry(e, 4)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := DecodeEntry(bytes, 4); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(bytes))/1024, "entry-KiB")
	}
}
