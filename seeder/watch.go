package seeder

import (
	"net/netip"
	"time"

	"github.com/anacrolix/torrent"

	"github.com/samara-hpc/samara/fleet"
)

// The progress watch. A library's request to a peer waits forever; here one waits as long as others show is reasonable.
const (
	watchEvery = 500 * time.Millisecond
	// blockPatience is the least that a peer is given for a block. A node that gives 24 others 2 MB/s sends each a block of
	// 64 KiB every 0.8 s.
	blockPatience = 5 * time.Second
	// longPatience is the most. A controller is given that much in any case: it serves more peers than a node does, and
	// under a limit.
	longPatience = 20 * time.Second
	// maxRefused is how many requests a peer may reject before it has sent a block. A node rejects what came before it said that
	// it answers nothing, or what it finds damaged, once.
	maxRefused = 4
	// fairShare is how many blocks others send on average before a peer that sent none in that time has stalled.
	fairShare = 8
	// nudgeAfter is how long a peer that holds something we want may go without a request.
	nudgeAfter = time.Second
	// maxNudge bounds the pieces that are wanted anew at once.
	maxNudge = 64
	// shunFor is how long a peer that stalled is left alone, times how often it did, up to shunAtMost.
	shunFor, shunAtMost = 10 * time.Second, 30 * time.Second
	// maxShunned bounds the addresses that are left alone.
	maxShunned = 256
)

// A shun is a peer that stalled.
type shun struct {
	until time.Time
	times int
}

// begin gives a download its torrent, and starts to watch it.
func (d *Download) begin(t *torrent.Torrent) {
	d.torrent = t
	go d.watch()
}

// watch hangs up on peers that hold the download up, until it is complete or has failed, and then on those that it can do
// nothing for.
func (d *Download) watch() {
	defer close(d.watched)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	complete := d.complete
	for {
		select {
		case <-tick.C:
		case <-complete:
			complete = nil // look at once, and then until the library agrees
		case <-d.failed:
			return
		}
		d.client.noteBanned()
		d.dropStalled(time.Now())
		d.nudge(time.Now())
		if d.settle() && d.finished() {
			d.release()
			return
		}
	}
}

// finished reports whether all is verified and the library knows it for good: it may still be at work on what came bad of a
// piece that has been put there whole.
func (d *Download) finished() bool {
	d.mu.Lock()
	missing := d.missing
	d.mu.Unlock()
	if missing > 0 {
		return false
	}
	for _, r := range d.torrent.PieceStateRuns() {
		if !r.Complete || r.Hashing || r.QueuedForHash || r.Marking {
			return false
		}
	}
	return true
}

// dropStalled hangs up on those who were asked and send nothing, so that their requests go to others.
func (d *Download) dropStalled(now time.Time) {
	for p, blame := range d.stalled(now) {
		if blame {
			d.client.faults.add(addrOf(&p.Peer).Addr(), fleet.FaultStalled)
		}
		_ = p.Close() // it always returns nil
	}
}

// stalled returns the peers that hold the download up, and shuns them. The value says whether a peer is to blame: one that
// has said that it answers nothing is not.
func (d *Download) stalled(now time.Time) map[*torrent.PeerConn]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.missing == 0 {
		return nil
	}
	asked := 0
	for _, c := range d.contacts {
		if c.asked > 0 {
			asked++
		}
	}
	still := now.Sub(d.moved) >= blockPatience
	stalled := make(map[*torrent.PeerConn]bool)
	for p, c := range d.contacts {
		waited, least := now.Sub(c.moved), blockPatience
		origin := d.client.isOrigin(c.addr.Addr())
		if origin {
			least = longPatience
		}
		if !origin && c.refused >= maxRefused && now.Sub(c.gave) >= blockPatience {
			stalled[p] = true
			d.shun(c.addr.Addr(), now)
			continue
		}
		if c.asked == 0 || waited < least {
			continue
		}
		if still || d.blocks-c.mark >= fairShare*asked || waited >= longPatience {
			stalled[p] = !c.choked
			d.shun(c.addr.Addr(), now)
		}
	}
	return stalled
}

// shun leaves an address alone for a while. The caller holds d.mu.
func (d *Download) shun(addr netip.Addr, now time.Time) {
	if len(d.shunned) >= maxShunned {
		for a, s := range d.shunned {
			if !now.Before(s.until) {
				delete(d.shunned, a)
			}
		}
	}
	s, known := d.shunned[addr]
	if !known && len(d.shunned) >= maxShunned {
		return
	}
	s.times++
	s.until = now.Add(min(time.Duration(s.times)*shunFor, shunAtMost))
	d.shunned[addr] = s
}

// shuns reports whether an address is left alone now, which it is only while something is missing.
func (d *Download) shuns(addr netip.Addr, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.missing > 0 && now.Before(d.shunned[addr].until)
}

// forgive ends all shunning, since there is nobody else.
func (d *Download) forgive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for a, s := range d.shunned {
		s.until = time.Time{}
		d.shunned[a] = s
	}
}

// nudge has the library ask idle peers for what they hold. After a peer has rejected a request the library asks it for
// nothing until something else happens on that connection, and where two things happen at once it may note only the first.
func (d *Download) nudge(now time.Time) {
	for _, p := range d.idle(now) {
		held := p.PeerPieces()
		for _, piece := range d.unasked(held.ContainsInt) {
			d.torrent.CancelPieces(piece, piece+1)
			d.torrent.DownloadPieces(piece, piece+1)
		}
	}
}

// idle returns the peers that have been asked for nothing for a while.
func (d *Download) idle(now time.Time) []*torrent.PeerConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.missing == 0 || now.Sub(d.nudged) < nudgeAfter {
		return nil
	}
	var idle []*torrent.PeerConn
	for p, c := range d.contacts {
		if c.asked == 0 && !c.choked && now.Sub(c.moved) >= nudgeAfter {
			idle = append(idle, p)
		}
	}
	d.nudged = now
	return idle
}

// unasked returns the first missing pieces that nobody is asked for, of those that hold returns true for.
func (d *Download) unasked(held func(int) bool) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	var pieces []int
	for piece, have := range d.have {
		if !have && d.asked[piece] == 0 && held(piece) {
			if pieces = append(pieces, piece); len(pieces) == maxNudge {
				break
			}
		}
	}
	return pieces
}

// settle has the library look again at pieces that it took for bad after they had been put there whole. It reports whether
// there are none.
func (d *Download) settle() bool {
	d.mu.Lock()
	var disputed []int
	for piece := range d.disputed {
		disputed = append(disputed, piece)
	}
	d.mu.Unlock()
	for _, piece := range disputed {
		agreed := d.torrent.PieceState(piece).Complete // which it does one look later
		d.torrent.Piece(piece).UpdateCompletion()
		if agreed {
			d.mu.Lock()
			delete(d.disputed, piece)
			d.mu.Unlock()
		}
	}
	return len(disputed) == 0
}
