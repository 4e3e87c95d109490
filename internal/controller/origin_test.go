package controller

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/seeder"
)

func TestPlacesAmongThoseThatOfferARoot(t *testing.T) {
	root := fleet.Digest{1}
	other := func(id string, alive bool, roots ...fleet.Digest) otherController {
		c := otherController{Controller: fleet.Controller{ID: id}, Alive: alive}
		for _, r := range roots {
			c.Offers = append(c.Offers, api.Offer{Root: r})
		}
		return c
	}
	for name, c := range map[string]struct {
		others    []otherController
		index, of int
	}{
		"alone":                {nil, 0, 1},
		"between two":          {[]otherController{other("c", true, root), other("a", true, root)}, 1, 3},
		"another root":         {[]otherController{other("a", true, fleet.Digest{2})}, 0, 1},
		"dead, or empty":       {[]otherController{other("a", false, root), other("c", true)}, 0, 1},
		"among several others": {[]otherController{other("a", true, fleet.Digest{2}, root)}, 1, 2},
	} {
		if index, of := place("b", root, c.others); index != c.index || of != c.of {
			t.Errorf("%s: got %d of %d, want %d of %d", name, index, of, c.index, c.of)
		}
	}
}

// listen has every head know what the others offer, as their hellos tell.
func (s *scene) listen() {
	for _, h := range s.heads {
		offers := h.origin.offers()
		h.set(func() { h.said = offers })
	}
}

func TestControllersShareTheRootsTheyOffer(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	v := s.heads[0].version(t, 1, 3<<20)
	for _, h := range s.heads {
		h.version(t, 1, 3<<20)
		must(t, h.origin.offer(v.Root.Digest, v.Torrent))
	}
	s.listen()
	shares := func() (got []string) {
		for _, h := range s.heads {
			h.origin.mu.Lock()
			h.origin.share(v.Root.Digest)
			o := h.origin.offered[v.Root.Digest]
			got = append(got, fmt.Sprintf("%s %d/%d", h.ID, o.index, o.of))
			h.origin.mu.Unlock()
		}
		return got
	}
	if got, want := shares(), []string{"a 0/3", "b 1/3", "c 2/3"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s.heads[0].set(func() { s.heads[0].dead = true })
	if got, want := shares()[1:], []string{"b 0/2", "c 1/2"}; !slices.Equal(got, want) {
		t.Errorf("after one died: got %v, want %v", got, want)
	}
}

func TestNodesAreSentToThoseThatOfferTheirRoot(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, c := s.heads[0], s.heads[2]
	v := a.version(t, 1, 1<<20)
	ids := func(list []fleet.Controller) (ids string) {
		for _, c := range list {
			ids += c.ID
		}
		return ids
	}
	if got := ids(s.heads[1].origin.offering(v.Root.Digest)); got != "bac" {
		t.Errorf("nobody offers it: got %s, want all", got)
	}
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	c.version(t, 1, 1<<20)
	must(t, c.origin.offer(v.Root.Digest, v.Torrent))
	s.listen()
	for n, want := range []string{"ac", "ac", "ca"} {
		if got := ids(s.heads[n].origin.offering(v.Root.Digest)); got != want {
			t.Errorf("%s: got %s, want %s", s.heads[n].ID, got, want)
		}
	}
	view := s.heads[1].origin.origins(v.Root.Digest)
	if len(view) != 3 || !view[0].Offers || view[1].Offers || !view[2].Offers || view[0].Unsent != 4 {
		t.Errorf("as people see it: %+v", view)
	}
}

func TestTheUploadLimitOfTheStateHolds(t *testing.T) {
	s := newScene(t, 2, fleet.Format, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 4<<20)
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	limit := func(bytes int64) {
		_, err := s.Propose(t.Context(), fleet.Entry{Command: &fleet.SetCluster{Seeding: &fleet.SetSeeding{OriginUpload: &bytes}}})
		must(t, err)
	}
	limit(fleet.MinUpload)
	s.run(t, a)
	eventually(t, "a to apply it", func() bool { return a.server.UploadLimit() == fleet.MinUpload })
	pulled := make(chan error, 1)
	go func() { pulled <- b.puller.Pull(t.Context(), asked(v), ignore) }()
	limit(0)
	eventually(t, "a to lift it", func() bool { return a.server.UploadLimit() == 0 })
	must(t, <-pulled)
	b.mustHold(t, v)
}

// What a node was sent is told apart from what another controller was, and both last while the root is opened anew.
func TestWhatWasSentIsCountedAcrossOffers(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 2<<20)
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	must(t, b.puller.Pull(t.Context(), asked(v), ignore))
	if got := a.origin.offers(); len(got) != 1 || got[0].Copied != v.Root.Size || got[0].Sent != 0 {
		t.Errorf("once another controller has it: %+v", got)
	}
	a.feed(t, netip.MustParseAddr("127.0.11.1"), v)
	a.origin.renew(v.Root.Digest)
	if got := a.origin.offers(); len(got) != 1 || got[0].Copied != v.Root.Size || got[0].Sent != v.Root.Size || got[0].Root != v.Root.Digest {
		t.Errorf("after a new start: %+v", got)
	}
	if got := b.origin.origins(v.Root.Digest); len(got) != 2 || got[0].Copied != 0 || got[0].Sent != 0 {
		t.Errorf("before the other has heard: %+v", got)
	}
	s.listen()
	if got := b.origin.origins(v.Root.Digest); got[0].Copied != v.Root.Size || got[0].Sent != v.Root.Size {
		t.Errorf("once the other has heard: %+v", got)
	}
	a.origin.withdraw(v.Root.Digest)
	if got := a.origin.seeding(); got.CopiedBytes != v.Root.Size || got.OriginBytes != v.Root.Size || got.Torrents != 0 {
		t.Errorf("after the end: %+v", got)
	}
}

// feed has a node at an address fetch a root from a head alone.
func (h *head) feed(t *testing.T, node netip.Addr, v fleet.ImageVersion) {
	t.Helper()
	c, err := seeder.Open(seeder.Config{Listen: netip.AddrPortFrom(node, 0)})
	must(t, err)
	defer c.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "root"))
	must(t, err)
	defer f.Close()
	info, err := readBlob(h.blobs, v.Torrent)
	must(t, err)
	d, err := c.Fetch(info, v.Root, f)
	must(t, err)
	d.AddPeers([]netip.AddrPort{h.server.Addr()})
	must(t, d.Wait(t.Context()))
}

// TestADamagedRootIsCheckedAgain damages a root all of which was sent before: none of it may leave unchecked again.
func TestADamagedRootIsCheckedAgain(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 3<<20)
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	must(t, b.puller.Pull(t.Context(), asked(v), ignore))
	a.damage(t, v.Root)
	if err := a.blobs.Verify(t.Context(), v.Root.Digest); err == nil {
		t.Fatal("the root is not damaged")
	}
	c := s.heads[2]
	pulled := make(chan error, 1)
	go func() { pulled <- c.puller.Pull(t.Context(), asked(v), ignore) }() // from a, and from b that has it whole
	must(t, b.origin.offer(v.Root.Digest, v.Torrent))
	must(t, <-pulled)
	c.mustHold(t, v)
	for _, f := range c.swarm.Faults() {
		if f.Kind == fleet.FaultCorrupt {
			t.Errorf("wrong bytes were sent: %+v", f)
		}
	}
}
