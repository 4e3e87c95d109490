package seeder

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
	peerproto "github.com/anacrolix/torrent/peer_protocol"
)

// A crew is a download's contacts, without a network.
type crew struct {
	*Download
	at    time.Time
	peers []*torrent.PeerConn
}

// newCrew returns a download that asks n peers, the first of which is a controller if origin is set.
func newCrew(t *testing.T, n int, origin bool) *crew {
	t.Helper()
	info, _ := testInfo(t, testBlob(4<<20))
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	client := &Client{}
	client.SetOrigins(nil)
	if origin {
		client.SetOrigins([]netip.Addr{netip.MustParseAddr("10.0.0.0")})
	}
	c := &crew{Download: newDownload(client, i, InfoHash(info), nil), at: time.Now()}
	for k := range n {
		p := new(torrent.PeerConn)
		copy(p.PeerID[:], clientID)
		c.meet(p, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(k)}), 1))
		c.ask(p, k%i.Pieces(), 10)
		c.peers = append(c.peers, p)
	}
	for _, x := range c.contacts {
		x.met, x.moved, x.gave, x.choked = c.at, c.at, c.at, false
	}
	c.moved = c.at
	return c
}

// deliver has some peers send a block each.
func (c *crew) deliver(peers ...int) {
	for _, k := range peers {
		c.hear(c.peers[k], &peerproto.Message{Type: peerproto.Piece})
		c.contacts[c.peers[k]].moved, c.contacts[c.peers[k]].gave = c.at, c.at
		c.moved = c.at
	}
}

// refuse has a peer reject so many requests, which the download makes again.
func (c *crew) refuse(k, n int) {
	for range n {
		c.hear(c.peers[k], &peerproto.Message{Type: peerproto.Reject})
	}
	c.contacts[c.peers[k]].moved = c.at
}

func TestStalledIsWhoSendsLessThanOthers(t *testing.T) {
	second := func(c *crew, n int, each func(*crew)) {
		for range n {
			c.at = c.at.Add(time.Second)
			each(c)
		}
	}
	for name, c := range map[string]struct {
		peers  int
		origin bool
		play   func(*crew)
		want   string // the last bytes of their addresses
	}{
		"one of three sends nothing": {3, false, func(c *crew) {
			second(c, 6, func(c *crew) {
				for range 5 {
					c.deliver(1, 2)
				}
			})
		}, "[0]"},
		"it is too early to say": {3, false, func(c *crew) {
			second(c, 4, func(c *crew) {
				for range 50 {
					c.deliver(1, 2)
				}
			})
		}, "[]"},
		"everybody is slow":                       {3, false, func(c *crew) { second(c, 18, func(c *crew) { c.deliver(c.blocks % 3) }) }, "[]"},
		"two are silent, and one is slow":         {3, false, func(c *crew) { second(c, 19, func(c *crew) { c.deliver(1) }) }, "[]"},
		"two are silent for long":                 {3, false, func(c *crew) { second(c, 20, func(c *crew) { c.deliver(1) }) }, "[0 2]"},
		"nothing moves":                           {3, false, func(c *crew) { second(c, 5, func(*crew) {}) }, "[0 1 2]"},
		"nothing moves, not even from the origin": {2, true, func(c *crew) { second(c, 19, func(*crew) {}) }, "[1]"},
		"the origin is silent for long":           {2, true, func(c *crew) { second(c, 20, func(c *crew) { c.deliver(1) }) }, "[0]"},
		"one rejects whatever it is asked for": {3, false, func(c *crew) {
			second(c, 5, func(c *crew) {
				c.deliver(1, 2)
				c.refuse(0, 2)
			})
		}, "[0]"},
		"one rejects much and sends a little": {3, false, func(c *crew) {
			second(c, 5, func(c *crew) {
				c.refuse(0, maxRefused)
				c.deliver(0, 1, 2)
			})
		}, "[]"},
		"one rejects what came before it choked": {3, false, func(c *crew) {
			c.hear(c.peers[0], &peerproto.Message{Type: peerproto.Choke})
			c.refuse(0, 2*maxRefused)
			second(c, 5, func(c *crew) { c.deliver(1, 2) })
		}, "[]"},
		"a client of others rejects whatever it is asked for": {3, false, func(c *crew) {
			copy(c.peers[0].PeerID[:], "-LT2080-")
			second(c, 5, func(c *crew) {
				c.deliver(1, 2)
				c.refuse(0, 2)
			})
		}, "[]"},
		"the origin rejects": {2, true, func(c *crew) {
			second(c, 5, func(c *crew) {
				c.refuse(0, 2)
				c.deliver(1)
			})
		}, "[]"},
		"who is asked for nothing owes nothing": {2, false, func(c *crew) {
			c.ask(c.peers[0], 0, -10)
			second(c, 60, func(c *crew) { c.deliver(1) })
		}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			crew := newCrew(t, c.peers, c.origin)
			c.play(crew)
			stalled := crew.stalled(crew.at)
			got := []int{}
			for k, p := range crew.peers {
				if _, is := stalled[p]; is {
					got = append(got, k)
				}
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("stalled: got %v, want %s", got, c.want)
			}
			for k, p := range crew.peers {
				_, is := stalled[p]
				if shunned := crew.shuns(crew.contacts[p].addr.Addr(), crew.at); shunned != is {
					t.Errorf("peer %d: shunned %v, stalled %v", k, shunned, is)
				}
			}
		})
	}
}

func TestShunningIsBoundedAndEnds(t *testing.T) {
	c := newCrew(t, 1, false)
	addr := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}) }
	for n := range 2 * maxShunned {
		c.shun(addr(n), c.at)
	}
	if got := len(c.shunned); got != maxShunned {
		t.Errorf("%d addresses are remembered, want %d", got, maxShunned)
	}
	for times := range 5 {
		from := c.at
		c.shun(addr(0), from)
		for c.shuns(addr(0), c.at) {
			c.at = c.at.Add(time.Second)
		}
		if got := c.at.Sub(from); got > shunAtMost || got < shunFor {
			t.Errorf("stalled %d times: left alone for %s", times+2, got)
		}
	}
	c.shun(addr(0), c.at)
	c.forgive()
	if c.shuns(addr(0), c.at) {
		t.Error("a forgiven peer is shunned")
	}
}

func TestChokingPeerIsNotBlamed(t *testing.T) {
	c := newCrew(t, 2, false)
	c.hear(c.peers[0], &peerproto.Message{Type: peerproto.Choke})
	stalled := c.stalled(c.at.Add(time.Minute))
	if len(stalled) != 2 || stalled[c.peers[0]] || !stalled[c.peers[1]] {
		t.Errorf("got %v, want both stalled and the second to blame", stalled)
	}
}

func TestForgottenPeerIsAskedAgain(t *testing.T) {
	blob := testBlob(1 << 20)
	info, ref := testInfo(t, blob)
	// It shows a piece, rejects the first request for it, and shows the others with the same packet, as an origin may.
	fickle := openRogue(t, 71, info, blob)
	rejected := false
	fickle.serve(play{
		greet: func(p *part) {
			p.say(15) // have none
			p.say(1)
			p.say(4, 0)
		},
		request: func(p *part, index, begin, length uint32) bool {
			if index == 0 && begin == 0 && !rejected {
				rejected = true
				out := encodeMessage(nil, 16, index, begin, length)
				for k := range uint32(3) {
					out = append(out, encodeMessage(nil, 4, k+1)...)
				}
				_, _ = p.Write(out)
				return true
			}
			p.sayWith(p.block(index, begin, length), 7, index, begin)
			return true
		},
	})
	n := fetch(t, 2, info, ref)
	n.AddPeers([]netip.AddrPort{fickle.addr()}) // once: a second connection would hide it
	n.mustHold(t, blob)
	if faults := n.Faults(); len(faults) != 0 {
		t.Errorf("it is blamed: %+v", faults)
	}
}

func TestFrozenPeerHoldsNobodyUp(t *testing.T) {
	blob := testBlob(3 << 20)
	info, ref := testInfo(t, blob)
	// The kernel of a frozen process answers the call, and nobody the handshake.
	frozen := openRogue(t, 72, info, blob)
	good := holder(t, 3, info, blob)
	n := fetch(t, 2, info, ref)
	feed(t, n.Download, frozen.addr(), good.Addr())
	n.mustHold(t, blob)
}
