package seeder

import (
	"net/netip"

	"github.com/anacrolix/torrent"
)

// sufficient is how many connected peers a download wants to have been named before it hangs up on others. Swarms of 48
// were measured to do with six to ten.
const sufficient = 8

// Keep hangs up on those whom this node called and who are not among the peers that a controller names now; complete
// peers, who take nothing, and controllers stay. Nodes share their uplinks evenly among their peers, so that one with few
// peers, whose peers have many, is served less than others, and a swarm is done when its last node is. Hand-outs are made
// so that all have about as many; but when a cluster is switched on, those who ask first are told of one another, then
// of those that come after them, and would have three times as many as the last. Keep does nothing before this node has
// sufficiently many of those who are named: a controller may not know of all yet.
func (d *Download) Keep(named []netip.AddrPort) {
	keep := make(map[netip.AddrPort]bool, len(named))
	for _, p := range named {
		keep[netip.AddrPortFrom(p.Addr().Unmap(), p.Port())] = true
	}
	for _, p := range d.surplus(keep) {
		if p.PeerPieces().GetCardinality() < uint64(d.info.Pieces()) {
			_ = p.Close() // it always returns nil
		}
	}
}

// surplus returns the peers that this node called and need not have.
func (d *Download) surplus(keep map[netip.AddrPort]bool) []*torrent.PeerConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.missing == 0 {
		return nil
	}
	kept := 0
	var surplus []*torrent.PeerConn
	for p, c := range d.contacts {
		switch {
		case keep[c.addr]:
			kept++
		case p.Discovery == torrent.PeerSourceDirect && !d.client.isOrigin(c.addr.Addr()):
			surplus = append(surplus, p)
		}
	}
	if kept < sufficient {
		return nil
	}
	return surplus
}
