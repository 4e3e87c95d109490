package seeder

import (
	"maps"
	"slices"
	"time"
)

// releaseEvery is how often a download that is complete looks for peers that have become so.
const releaseEvery = 2 * time.Second

// release hangs up on peers that have everything, as this download does, until nobody is connected: each end would go on
// to wake the other. The library does that only to a peer that has said that it wants nothing more, which clients of the
// library do not say when they have their last piece. Whoever comes later, and lacks something, hangs up by itself.
func (d *Download) release() {
	tick := time.NewTicker(releaseEvery)
	defer tick.Stop()
	for {
		d.mu.Lock()
		peers := slices.Collect(maps.Keys(d.contacts))
		d.mu.Unlock()
		if len(peers) == 0 {
			return
		}
		for _, p := range peers {
			if p.PeerPieces().GetCardinality() == uint64(d.info.Pieces()) {
				_ = p.Close() // it always returns nil
			}
		}
		select {
		case <-tick.C:
		case <-d.failed:
			return
		}
	}
}
