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
