package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/samara-hpc/samara/fleet"
)

// patience is how long a test waits for what must happen; a loaded machine needs a fraction of it.
const patience = 60 * time.Second

var testKey = []byte("0123456789abcdef0123456789abcdef")

func testConfig(host byte) Config {
	return Config{
		Name:    fmt.Sprintf("m%d", host),
		Cluster: "cluster-a",
		Key:     testKey,
		Bind:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, host}), 0),
		Meta:    Meta{Role: RoleNode, Swarm: 7600 + uint16(host), Rack: fmt.Sprintf("r%d", host%2), BootID: "boot-1"},
	}
}

// A runner is a mesh that runs until it is killed or the test ends.
type runner struct {
	*Mesh
	cancel context.CancelFunc
	ended  chan error
	once   sync.Once
}

// run opens a mesh whose failure detector is a tenth as patient as in earnest, and runs it.
func run(t *testing.T, c Config) *runner {
	t.Helper()
	m, err := open(c, func(s *memberlist.Config) {
		s.ProbeInterval, s.ProbeTimeout = 300*time.Millisecond, 150*time.Millisecond
		s.GossipInterval = 50 * time.Millisecond
		s.SuspicionMaxTimeoutMult = 2
	})
	if err != nil {
		t.Fatal(err)
	}
	m.table.deadAfter = time.Second
	ctx, cancel := context.WithCancel(context.Background())
	r := &runner{Mesh: m, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- m.Run(ctx) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends Run by its context.
func (r *runner) stop(t *testing.T) {
	r.once.Do(func() {
		r.cancel()
		if err := <-r.ended; err != nil {
			t.Errorf("Run of %s: %v", r.name, err)
		}
	})
}

// kill ends the mesh without a word to the others.
func (r *runner) kill(t *testing.T) {
	r.once.Do(func() {
		r.Close()
		if err := <-r.ended; !errors.Is(err, ErrClosed) {
			t.Errorf("Run of %s: got error %v, want ErrClosed", r.name, err)
		}
		r.cancel()
	})
}

func (r *runner) join(t *testing.T, seeds ...netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Join(ctx, seeds); err != nil {
		t.Fatal(err)
	}
}

// awaits waits until the members of r fulfil a condition.
func (r *runner) awaits(t *testing.T, what string, ok func(map[string]Member) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed := r.Changed()
		by := make(map[string]Member)
		for _, m := range r.Members() {
			by[m.Name] = m
		}
		if ok(by) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s waits in vain for %s: it sees %+v", r.name, what, by)
		}
	}
}

func inState(name string, s State) func(map[string]Member) bool {
	return func(by map[string]Member) bool { return by[name].State == s }
}

// five runs five members that see each other.
func five(t *testing.T) []*runner {
	t.Helper()
	rs := make([]*runner, 5)
	for i := range rs {
		rs[i] = run(t, testConfig(byte(i+1)))
		rs[i].join(t, rs[0].Self(), rs[i].Self())
	}
	for _, r := range rs {
		r.awaits(t, "all five", func(by map[string]Member) bool {
			for i, o := range rs {
				m := by[o.name]
				if m.State != StateAlive || m.Addr != o.Self() || !m.Meta.Equal(testConfig(byte(i+1)).Meta) {
					return false
				}
			}
			return len(by) == len(rs)
		})
	}
	return rs
}

func TestMembersSeeEachOtherAndWhatTheySay(t *testing.T) {
	rs := five(t)
	meta := testConfig(3).Meta
	meta.Holdings = []Holding{{PrefixOf(fleet.Digest{7}), true}}
	for range 3 { // only the last one counts
		if err := rs[2].SetMeta(meta); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range rs {
		r.awaits(t, "the new meta", func(by map[string]Member) bool {
			_, all := by["m3"].Meta.Holds(fleet.Digest{7})
			return all
		})
	}
	if got, want := rs[0].Members()[2].Swarm().String(), "127.0.1.3:7603"; got != want {
		t.Errorf("m3's swarm address: got %s, want %s", got, want)
	}
	meta.Rack = strings.Repeat("r", MaxRack+1)
	if err := rs[2].SetMeta(meta); err == nil {
		t.Error("a rack that is too long is accepted")
	}
}

func TestKilledMemberIsSuspectedThenDeadThenBack(t *testing.T) {
	rs := five(t)
	rs[4].kill(t)
	rs[0].awaits(t, "a suspect", func(by map[string]Member) bool { return by["m5"].State != StateAlive })
	for _, r := range rs[:4] {
		r.awaits(t, "a death", inState("m5", StateDead))
	}
	// It comes back at its old address: a reboot.
	c := testConfig(5)
	c.Bind = rs[4].Self()
	c.Meta.BootID = "boot-2"
	back := run(t, c)
	back.join(t, rs[1].Self())
	for _, r := range append(rs[:4:4], back) {
		r.awaits(t, "the return", func(by map[string]Member) bool {
			return by["m5"].State == StateAlive && by["m5"].Meta.BootID == "boot-2" && len(by) == 5
		})
	}
}

// Controllers and nodes have the same seeds, whoever of them is up: all controllers. Any of them may be dead then.
func TestMeshOutlivesAController(t *testing.T) {
	controllers := make([]*runner, 3)
	var seeds []netip.AddrPort
	for i := range controllers {
		c := testConfig(byte(i + 1))
		c.Meta.Role = RoleController
		controllers[i] = run(t, c)
		seeds = append(seeds, controllers[i].Self())
	}
	for _, c := range controllers {
		c.join(t, seeds...)
	}
	node := func(host byte) *runner {
		r := run(t, testConfig(host))
		r.join(t, seeds...)
		return r
	}
	all := append(slices.Clone(controllers), node(4), node(5))
	for _, r := range all {
		r.awaits(t, "all", func(by map[string]Member) bool { return len(by) == len(all) })
	}
	controllers[0].kill(t)
	late := node(6) // must find another seed than the dead one
	rest := append(all[1:], late)
	for _, r := range rest {
		r.awaits(t, "the death of a controller and the new node", func(by map[string]Member) bool {
			alive := 0
			for _, m := range by {
				if m.State == StateAlive {
					alive++
				}
			}
			return by["m1"].State != StateAlive && alive == len(rest)
		})
	}
}

func TestMemberThatRebootsFastIsKnownAgain(t *testing.T) {
	rs := five(t)
	rs[4].kill(t) // and back before anybody has noticed
	c := testConfig(5)
	c.Bind = rs[4].Self()
	c.Meta.BootID = "boot-2"
	back := run(t, c)
	back.join(t, rs[0].Self())
	for _, r := range rs[:4] {
		r.awaits(t, "the second boot", func(by map[string]Member) bool {
			return by["m5"].State == StateAlive && by["m5"].Meta.BootID == "boot-2"
		})
	}
}

func TestMemberThatLeavesIsNoLongerAlive(t *testing.T) {
	rs := five(t)
	rs[3].stop(t)
	for _, r := range []*runner{rs[0], rs[1], rs[2], rs[4]} {
		r.awaits(t, "the leave", func(by map[string]Member) bool { return by["m4"].State != StateAlive })
	}
	if err := rs[3].Join(t.Context(), []netip.AddrPort{rs[0].Self()}); !errors.Is(err, ErrClosed) {
		t.Errorf("joining after the end: got error %v, want ErrClosed", err)
	}
	if err := rs[3].Leave(time.Second); !errors.Is(err, ErrClosed) {
		t.Errorf("leaving after the end: got error %v, want ErrClosed", err)
	}
}

func TestStrangersStayOut(t *testing.T) {
	a, b := run(t, testConfig(1)), run(t, testConfig(2))
	otherKey, otherCluster := testConfig(3), testConfig(4)
	otherKey.Key = []byte("fedcba9876543210fedcba9876543210")
	otherCluster.Cluster = "cluster-b"
	for _, c := range []Config{otherKey, otherCluster} {
		s := run(t, c)
		before := a.Refused()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := s.Join(ctx, []netip.AddrPort{a.Self()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s joins: error %v", c.Name, err)
		}
		cancel()
		if a.Refused() == before {
			t.Errorf("%s is refused but not counted", c.Name)
		}
		if n := len(s.Members()); n != 1 {
			t.Errorf("%s sees %d members", c.Name, n)
		}
	}
	noise(t, a.Self())
	b.join(t, a.Self())
	for _, r := range []*runner{a, b} {
		r.awaits(t, "exactly two members", func(by map[string]Member) bool {
			return len(by) == 2 && by["m1"].State == StateAlive && by["m2"].State == StateAlive
		})
	}
}

// noise sends what no member would send.
func noise(t *testing.T, to netip.AddrPort) {
	t.Helper()
	udp, err := net.Dial("udp4", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for i := range 500 {
		b := make([]byte, i)
		for j := range b {
			b[j] = byte(i * (j + 7))
		}
		if _, err := udp.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "GET / HTTP/1.0\r\n\r\n", "\xf4", "\xf4\x09cluster-a", "\xf4\x09cluster-a\x0a\xff\xff\xff\xff"} {
		tcp, err := net.Dial("tcp4", to.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tcp.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		tcp.Close()
	}
}

func TestMemberOutsideTheNetworksStaysOut(t *testing.T) {
	c := testConfig(1)
	c.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.1.0/30")}
	a, in, out := run(t, c), run(t, testConfig(2)), run(t, testConfig(9))
	out.join(t, a.Self())
	in.join(t, a.Self())
	a.awaits(t, "the member inside", inState("m2", StateAlive))
	for _, m := range a.Members() {
		if m.Name == "m9" {
			t.Error("the member outside is let in")
		}
	}
}

func TestJoinWaitsForTheFirstSeed(t *testing.T) {
	a := run(t, testConfig(1))
	free := testConfig(2)
	later := run(t, free)
	seed := later.Self()
	later.kill(t)
	joined := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { joined <- a.Join(ctx, []netip.AddrPort{seed}) }()
	free.Bind = seed
	run(t, free)
	if err := <-joined; err != nil {
		t.Error(err)
	}
	if err := a.Join(t.Context(), []netip.AddrPort{a.Self()}); err != nil {
		t.Errorf("joining nobody but ourselves: %v", err)
	}
}

func TestOpenRefusesWithACure(t *testing.T) {
	a := run(t, testConfig(1))
	for want, edit := range map[string]func(*Config){
		"is in use":             func(c *Config) { c.Bind = a.Self() },
		"want 32":               func(c *Config) { c.Key = c.Key[:16] },
		"member name":           func(c *Config) { c.Name = "" },
		"cluster id":            func(c *Config) { c.Cluster = strings.Repeat("x", 256) },
		"know its own address":  func(c *Config) { c.Bind = netip.MustParseAddrPort("0.0.0.0:0") },
		"no address":            func(c *Config) { c.Bind = netip.AddrPort{} },
		"role 0 does not exist": func(c *Config) { c.Meta.Role = 0 },
	} {
		c := testConfig(2)
		edit(&c)
		m, err := Open(c)
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	c := testConfig(3)
	c.Bind = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	c.Advertise = netip.MustParseAddr("127.0.1.3")
	c.Logger = slog.New(slog.DiscardHandler)
	m, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if m.Self().Addr() != c.Advertise {
		t.Errorf("got address %s, want the advertised %s", m.Self(), c.Advertise)
	}
	m.Close()
	m.Close()
}

func TestTableForgetsTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := newTable()
		defer tab.close()
		tab.put("n1", netip.MustParseAddrPort("10.0.0.1:7603"), Meta{Role: RoleNode})
		born := time.Now()
		time.Sleep(time.Hour)
		if m := tab.members()[0]; m.State != StateAlive || !m.Since.Equal(born) {
			t.Errorf("after a quiet hour: %+v", m)
		}
		tab.lose("n1")
		tab.lose("n2") // never heard of
		lost := time.Now()
		for _, want := range []State{StateDead, 0} {
			changed := tab.watch()
			<-tab.due()
			tab.age()
			<-changed
			ms := tab.members()
			if want == 0 && len(ms) != 0 {
				t.Errorf("ten minutes after its death: %+v", ms)
			}
			if want != 0 && (ms[0].State != want || !ms[0].Since.Equal(lost.Add(deadAfter)) || time.Since(lost) != deadAfter) {
				t.Errorf("%v after the loss: %+v", time.Since(lost), ms)
			}
		}
		if got := time.Since(lost); got != deadAfter+forgetAfter {
			t.Errorf("it is forgotten after %v, want %v", got, deadAfter+forgetAfter)
		}
	})
}

func TestPausesAreRandomAndBounded(t *testing.T) {
	for range 1000 {
		for attempt := range 70 {
			if d := retryDelay(attempt); d < 125*time.Millisecond || d > 15*time.Second {
				t.Fatalf("attempt %d waits %v", attempt, d)
			}
		}
		if d := rejoinDelay(0); d < 3*time.Second || d > 8*time.Second {
			t.Fatalf("the first rejoin comes after %v", d)
		}
		if d := rejoinDelay(2); d < 2*time.Minute || d > 4*time.Minute {
			t.Fatalf("a later rejoin comes after %v", d)
		}
	}
}
