package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
)

var errEnough = errors.New("enough")

// watchUntil watches until a line leads to a revision, and returns all that was told.
func watchUntil(t *testing.T, c *Client, after, until fleet.Revision) ([]Difference, error) {
	t.Helper()
	var all []Difference
	err := c.Watch(t.Context(), WatchOptions{After: after}, func(l WatchLine) error {
		all = append(all, l.Changed...)
		if l.Revision >= until {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return all, err
}

func setRack(t *testing.T, m *memory, rack string) {
	t.Helper()
	propose(t, m, fleet.SetNodes{Names: []string{"n1"}, Rack: &rack})
}

func TestAWatchResumes(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	setRack(t, rig.memory, "r1")
	setRack(t, rig.memory, "r2")
	want := []Difference{{Kind: "node", Name: "n1", Action: "set", Fields: []Field{{Name: "rack", Was: "r1", Is: "r2"}}}}
	all, err := watchUntil(t, c, 4, 5)
	if diff := cmp.Diff(want, all); err != nil || diff != "" {
		t.Errorf("Watch after 4: %v (-want +got):\n%s", err, diff)
	}
	want[0].Fields[0].Was = ""
	all, err = watchUntil(t, c, 3, 5)
	if diff := cmp.Diff(want, all); err != nil || diff != "" {
		t.Errorf("Watch after 3, two changes in one: %v (-want +got):\n%s", err, diff)
	}
	rig.mu.Lock()
	delete(rig.history, 3)
	rig.mu.Unlock()
	if _, err := watchUntil(t, c, 3, 5); !errors.Is(err, ErrTooOld) {
		t.Errorf("Watch after what is no longer known: %v, want ErrTooOld", err)
	}
}

func TestAWatchFollows(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	lines, ended := make(chan WatchLine), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		// What this client has seen already is more than what the controller has.
		ended <- c.Watch(ctx, WatchOptions{After: 4}, func(l WatchLine) error { lines <- l; return nil })
	}()
	setRack(t, rig.memory, "r1")
	if l := <-lines; l.Revision != 4 || len(l.Changed) != 0 {
		t.Errorf("first line: %+v, want revision 4 and nothing else", l)
	}
	for i := range 3 {
		if _, err := rig.Propose(t.Context(), fleet.Entry{Command: fleet.DeleteNodes{Names: []string{"none"}}}); err == nil {
			t.Fatal("a bad entry was accepted")
		}
		setRack(t, rig.memory, fmt.Sprint("r1", i))
		if l := <-lines; l.Revision < fleet.Revision(6+2*i) || len(l.Changed) != 1 || l.Changed[0].Fields[0].Is != fmt.Sprint("r1", i) {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: %v, want Canceled", err)
	}
}

func TestAQuietWatchHasHeartbeats(t *testing.T) {
	rig := newRig(t)
	rig.server.heartbeat = 20 * time.Millisecond // no request has come yet
	beats := 0
	err := rig.local(t).Watch(t.Context(), WatchOptions{}, func(l WatchLine) error {
		if l.Revision != 3 || len(l.Changed) != 0 {
			t.Errorf("line %+v, want a heartbeat at revision 3", l)
		}
		if beats++; beats == 3 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("Watch: %v", err)
	}
}

func TestWatchesAreBounded(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended, begun := make(chan error, maxWatchers), make(chan struct{}, maxWatchers)
	for range maxWatchers {
		go func() {
			first := true
			ended <- c.Watch(ctx, WatchOptions{}, func(WatchLine) error {
				if first {
					begun <- struct{}{}
				}
				first = false
				return nil
			})
		}()
	}
	for range maxWatchers {
		<-begun
	}
	q, err := newQuestion(getWatch, none{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.send(ctx, q); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one watch too many: %v, want ErrUnavailable", err)
	}
	cancel()
	for range maxWatchers {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v, want Canceled", err)
		}
	}
}

func TestAWatchGoesOnAtAnotherController(t *testing.T) {
	rig := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dying, die := context.WithCancel(t.Context())
	dead := make(chan error, 1)
	go func() { dead <- rig.server.Serve(dying, rig.tls(l)) }()
	c := several(t, rig, l.Addr().String(), rig.address)
	racks := []string{"r1", "r2", "r3"}
	setRack(t, rig.memory, racks[0])
	var seen []string
	err = c.Watch(t.Context(), WatchOptions{After: 3}, func(l WatchLine) error {
		for _, d := range l.Changed {
			seen = append(seen, d.Fields[0].Is)
			if len(seen) == len(racks) {
				return errEnough
			}
			if len(seen) == 1 {
				die()
				if err := <-dead; err != nil {
					t.Errorf("Serve: %v", err)
				}
			}
			setRack(t, rig.memory, racks[len(seen)])
		}
		return nil
	})
	if !errors.Is(err, errEnough) || !slices.Equal(seen, racks) {
		t.Errorf("Watch, the first controller having died: %v, saw %v; want %v", err, seen, racks)
	}
	die()
}

func TestABadWatch(t *testing.T) {
	rig := newRig(t)
	_, _, err := rig.local(t).send(t.Context(), question{method: "GET", path: getWatch.pattern + "?after=soon"})
	if !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("watch after soon: %v, want ErrInvalid", err)
	}
}

func TestChangesBetweenAnyTwoStates(t *testing.T) {
	rig := newRig(t)
	propose(t, rig.memory, fleet.AddJoinToken{Token: fleet.JoinToken{ID: "t", Hash: fleet.Digest{7}, Expires: time.Now().Add(time.Hour)}})
	before := rig.State()
	keys := []string{"ssh-ed25519 AAAA root@head"}
	ip := func(last byte) []fleet.Interface {
		return []fleet.Interface{{Name: "default", IP: netip.AddrFrom4([4]byte{10, 1, 0, last})}}
	}
	propose(t, rig.memory,
		fleet.SetCluster{AuthorizedKeys: &keys},
		fleet.JoinController{Token: "t", Proof: fleet.Digest{7}, Controller: fleet.Controller{ID: "head2", Address: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts, Key: fleet.Digest{8}}},
		fleet.PutNetwork{Network: fleet.Network{Name: "a", Subnet: netip.MustParsePrefix("10.2.0.0/24"), DHCP: fleet.DHCPOff}, Create: true},
		fleet.AddImageVersion{Image: "debian", Version: fleet.ImageVersion{Root: blob(5), Torrent: blob(6), Kernel: blob(7), Initramfs: blob(8), Arch: "amd64"}, Holders: []string{"head", "head2"}},
		fleet.DeleteImage{Image: "debian", Version: 1},
		fleet.AddNodes{Nodes: []fleet.Node{{Name: "a0", Settings: fleet.Settings{Interfaces: ip(20)}}, {Name: "n2", Settings: fleet.Settings{Interfaces: ip(21)}}}},
		fleet.DeleteNodes{Names: []string{"n1"}})
	after := rig.State()
	var got []string
	for _, d := range changesBetween(before, after) {
		got = append(got, fmt.Sprintf("%s %s %s %d", d.Action, d.Kind, d.Name, min(len(d.Fields), 1)))
	}
	want := []string{"set cluster test 1", "add controller head2 1", "add network a 1", "delete image debian:1 0", "add image debian:2 1",
		"add node a0 1", "delete node n1 0", "add node n2 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changesBetween (-want +got):\n%s", diff)
	}
	if d := changesBetween(after, after); d == nil || len(d) != 0 {
		t.Errorf("changesBetween a state and itself: %#v, want an empty list", d)
	}
	for _, d := range changesBetween(fleet.State{}, after) {
		if d.Action != "add" {
			t.Errorf("from nothing: %+v", d)
		}
	}
	for _, d := range changesBetween(after, fleet.State{}) {
		if d.Action != "delete" {
			t.Errorf("to nothing: %+v", d)
		}
	}
}

func TestChangedNamesAgreesWithTheObviousWay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type object struct {
		name     string
		revision fleet.Revision
	}
	key := func(o object) (string, fleet.Revision) { return o.name, o.revision }
	for range 500 {
		var sides [2][]object
		var want []string
		for name := 'a'; name <= 'h'; name++ {
			var at [2]fleet.Revision // 0 is not there
			for side := range sides {
				if at[side] = fleet.Revision(random.IntN(3)); at[side] != 0 {
					sides[side] = append(sides[side], object{string(name), at[side]})
				}
			}
			if at[0] != at[1] {
				want = append(want, string(name))
			}
		}
		if got := changedNames(slices.Values(sides[0]), slices.Values(sides[1]), key); !slices.Equal(got, want) {
			t.Fatalf("changedNames(%v, %v): %v, want %v", sides[0], sides[1], got, want)
		}
	}
}

// BenchmarkChangesBetween compares two states of 10,000 nodes between which one node was changed.
func BenchmarkChangesBetween(b *testing.B) {
	nodes := make([]fleet.Node, 2000)
	state := fleet.State{}
	rev := fleet.Revision(0)
	apply := func(c fleet.Command) {
		rev++
		next, err := state.Apply(fleet.Entry{Command: c}, rev)
		if err != nil {
			b.Fatal(err)
		}
		state = next
	}
	for batch := range 5 {
		for i := range nodes {
			nodes[i] = fleet.Node{Name: fmt.Sprintf("n%05d", batch*len(nodes)+i)}
		}
		apply(fleet.AddNodes{Nodes: slices.Clone(nodes)})
	}
	before := state
	rack := "r1"
	apply(fleet.SetNodes{Names: []string{"n05000"}, Rack: &rack})
	b.ReportAllocs()
	for b.Loop() {
		if n := len(changesBetween(before, state)); n != 1 {
			b.Fatalf("%d changes", n)
		}
	}
}
