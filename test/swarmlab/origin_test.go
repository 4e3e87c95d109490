package swarmlab

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// slower is how many times slower the link of a straggler is, so that it is far from its end when the others are at
// theirs, however busy the machine is.
const slower = 6

// stragglers makes the links of nodes slow.
func (h *hall) stragglers(nodes ...int) {
	h.t.Helper()
	for _, n := range nodes {
		h.must(h.Nodes[n].Link.Limit(h.Layout.Link / slower))
	}
}

// anyWhole waits until one of the nodes has the image.
func (h *hall) anyWhole(peers []*Peer) {
	h.t.Helper()
	h.must(h.crowd.Wait(h.ctx, "a first node to have the image", func() bool {
		return slices.ContainsFunc(peers, func(p *Peer) bool { return !p.whole.IsZero() })
	}))
}

// uploadOf returns what a node has sent, as it says it after the call.
func (h *hall) uploadOf(p *Peer) (bytes int64) {
	h.t.Helper()
	from := time.Now()
	h.must(h.crowd.Wait(h.ctx, p.Name+" to say what it has sent", func() bool {
		bytes = p.latest.Uploaded
		return p.latest.Kind == peer.Progress && p.latest.At.After(from)
	}))
	return bytes
}

// The only controller dies when nodes hold the image among them: the others have it from those.
func TestTheOnlyControllerDiesOnceEveryPieceIsOut(t *testing.T) {
	t.Parallel()
	h := newHall(t, "swl-orphan", Layout{Heads: 1, Nodes: 8, Racks: 2, Link: testLink})
	m := h.form("c", h.Heads, h.every()...)
	peers := h.start(m, h.every()...)
	h.must(h.Limit())
	h.stragglers(3, 7)
	h.begin(peers...)
	h.anyWhole(peers)
	m.Controllers[0].Kill()
	for _, n := range []int{3, 7} {
		if e := peers[n].Latest(); e.Have == m.Image.Root.Size {
			t.Errorf("straggler %s had all of the image when the controller died", peers[n].Name)
		}
	}
	h.proved(peers...)
}

// Whoever comes when others have the image has it from them, and so does a node that boots again; but nobody has any of it
// from one that is up and is not to reseed.
func TestWarmImageNeedsNoOrigin(t *testing.T) {
	t.Parallel()
	h := newHall(t, "swl-warm", Layout{Heads: 1, Nodes: 9, Racks: 1, Link: testLink})
	m := h.form("c", h.Heads, h.every()...)
	at := m.Controllers[0]
	_, err := at.Run(h.ctx, "node", "set", h.Nodes[0].ID, "--reseed", "never")
	h.must(err)
	first := h.start(m, 0, 1, 2, 3, 4, 5, 6, 7)
	h.must(h.Limit())
	h.begin(first...)
	h.proved(first...)
	_, err = at.WaitBoot(h.ctx, h.Nodes[0].ID, func(b fleet.Boot) bool { return b.Swarm.Ended })
	h.must(err)
	for _, p := range first { // the controller knows who has the image
		_, err = at.WaitBoot(h.ctx, p.Host.ID, func(b fleet.Boot) bool { return b.Swarm.Complete })
		h.must(err)
	}
	before, rested := m.SentBy(h.ctx, at), h.uploadOf(first[0])
	h.must(first[2].Hurt(Kill))
	later := h.start(m, 2, 8)
	h.begin(later...)
	h.proved(later...)
	sent := m.SentBy(h.ctx, at) - before
	if more := h.uploadOf(first[0]) - rested; more != 0 {
		t.Errorf("%s, which is not to reseed, sent %d bytes once it was up", first[0].Name, more)
	}
	t.Logf("cold: %s; for two more: %s", share(before), share(sent))
	if sent > 0 {
		t.Errorf("the origin sent %d bytes for an image that 7 nodes have, want none", sent)
	}
	for _, p := range later {
		if e := p.Latest(); e.FromOrigin > 0 || e.FromControl > 0 {
			t.Errorf("%s had %d and %d bytes from a controller, want none", p.Name, e.FromOrigin, e.FromControl)
		}
	}
}

// An image that is deleted while nodes fetch it goes on among those that have it. Whoever would boot it is told.
func TestImageIsDeletedWhileItSpreads(t *testing.T) {
	t.Parallel()
	h := newHall(t, "swl-delete", Layout{Heads: 1, Nodes: 8, Racks: 2, Link: testLink})
	m := h.form("c", h.Heads, h.every()...)
	peers := h.start(m, h.every()...)
	h.must(h.Limit())
	h.stragglers(3, 7)
	h.begin(peers...)
	h.anyWhole(peers)
	at := m.Controllers[0]
	if _, err := at.Run(h.ctx, "image", "delete", imageName, "--yes"); err == nil || !strings.Contains(err.Error(), "in use by") {
		t.Errorf("an image that nodes boot is deleted: %v, want to be told who uses it", err)
	}
	_, err := at.Run(h.ctx, "node", "set", "n[001-008]", "--image", "")
	h.must(err)
	_, err = at.Run(h.ctx, "image", "delete", imageName, "--yes")
	h.must(err)
	h.proved(peers...)
	script, err := bootScript(h.ctx, h.Nodes[0], at.Host.Address, lab.NodeMAC(1))
	if err != nil || !strings.Contains(script, "image not found") || strings.Contains(script, "samara.boot=") {
		t.Errorf("a node that boots the deleted image gets %v, %q; want to be told that there is none", err, script)
	}
	if ended := at.Process().Ended(); ended != nil {
		t.Error(ended)
	}
}

// Bytes change on the disk of one controller of three: it never sends them, and nodes have them from the others.
func TestDamageUnderOneControllersBlob(t *testing.T) {
	t.Parallel()
	h := newHall(t, "swl-damage", Layout{Heads: 3, Nodes: 8, Racks: 2, Link: testLink})
	m := h.form("c", h.Heads, h.every()...)
	damaged := m.Controllers[1]
	const places = 16
	for i := range int64(places) {
		h.must(flip(damaged.BlobPath(m.Image.Root), i*m.Image.Root.Size/places+1000))
	}
	peers := h.start(m, h.every()...)
	h.must(h.Limit())
	h.begin(peers...)
	h.proved(peers...)
	for i, n := range m.Sent(h.ctx) { // the damaged one may have its copy mended by another meanwhile
		t.Logf("controller %d sent %s", i+1, share(n))
	}
	var received, asked int64
	for _, p := range peers {
		e := p.Latest()
		received, asked = received+e.FromOrigin+e.FromControl, asked+e.FromControl
	}
	t.Logf("the nodes had %s from controllers, %s of that by request", share(received), share(asked))
	if most := 2 * m.Image.Root.Size; received > most {
		t.Errorf("the nodes had %s from controllers, want at most 2", share(received))
	}
	client := damaged.Client()
	defer client.Close()
	for _, n := range h.Nodes {
		boots, err := client.Boots(h.ctx, n.ID)
		h.must(err)
		if len(boots) == 0 {
			t.Fatalf("the controller knows of no boot of %s", n.ID)
		}
		for _, c := range boots[0].Swarm.Complaints {
			if c.Fault == fleet.FaultCorrupt {
				t.Errorf("%s was sent corrupt pieces by %s", n.ID, c.Peer)
			}
		}
	}
	found, err := damaged.LogSays("damaged")
	if err != nil || !found {
		t.Errorf("the log of %s does not say that the blob is damaged (%v)", damaged.Host.ID, err)
	}
}

// flip changes one byte of a file where it lies.
func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil && err != io.EOF {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	return err
}
