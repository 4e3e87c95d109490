package origin

import (
	"fmt"
	"slices"
	"testing"
)

// audit recounts everything that o counts as it goes.
func audit(t testing.TB, o *Origin) {
	t.Helper()
	if err := recount(o); err != nil {
		t.Fatal(err)
	}
}

func recount(o *Origin) error {
	copies, reveals := make([]int32, o.conf.Pieces), make([]int32, o.conf.Pieces)
	seeds, struck, hungry, listed := 0, 0, 0, 0
	queued := int64(0)
	outstanding := map[*rack]int{}
	for at, p := range o.order {
		if p.at != at || o.peers[p.id] != p {
			return fmt.Errorf("peer %d is not where it says", p.id)
		}
		n := 0
		p.have.each(func(i int) { copies[i]++; n++ })
		if n != p.have.n {
			return fmt.Errorf("peer %d has %d pieces and counts %d", p.id, n, p.have.n)
		}
		for _, r := range p.pending {
			if p.have.has(r.piece) {
				return fmt.Errorf("piece %d is pending with peer %d, which has it", r.piece, p.id)
			}
			if !r.late {
				reveals[r.piece]++
			}
		}
		for _, b := range p.queue {
			queued += b.Length
		}
		outstanding[p.rack] += len(p.pending)
		seeds += count(p.complete != never)
		struck += count(p.strikes > 0)
		hungry += count(p.hungry)
		if (p.slot >= 0) != o.room(p) {
			return fmt.Errorf("peer %d: in line %v, has room %v", p.id, p.slot >= 0, o.room(p))
		}
		if listed += count(p.slot >= 0); len(p.queue) > MaxQueued || len(p.pending) > o.conf.Pieces {
			return fmt.Errorf("peer %d has %d blocks waiting, %d pieces pending", p.id, len(p.queue), len(p.pending))
		}
	}
	if seeds != o.seeds || struck != o.struck || hungry != o.hungry || len(o.peers) != len(o.order) {
		return fmt.Errorf("%d seeds, %d struck, %d hungry, %d peers; counted %d, %d, %d, %d", o.seeds, o.struck, o.hungry, len(o.peers),
			seeds, struck, hungry, len(o.order))
	}
	if queued != o.queued {
		return fmt.Errorf("%d bytes queued, counted %d", o.queued, queued)
	}
	for _, r := range o.lineup.byName {
		listed -= r.ready.Len()
		if r.outstanding != outstanding[r] || (r.slot >= 0) != (r.ready.Len() > 0) {
			return fmt.Errorf("rack %q has %d outstanding, counted %d", r.name, r.outstanding, outstanding[r])
		}
	}
	if listed != o.lineup.struck.Len() {
		return fmt.Errorf("%d peers in the struck line, counted %d", o.lineup.struck.Len(), listed)
	}
	if err := recountDeliveries(o); err != nil {
		return err
	}
	return recountPieces(o, copies, reveals)
}

func recountDeliveries(o *Origin) error {
	awaiting, delivering := 0, 0
	for _, p := range o.order {
		if p.awaits && p.delivery != nil || p.awaits && len(p.queue) == 0 || !p.awaits && p.delivery == nil && len(p.queue) > 0 {
			return fmt.Errorf("peer %d asked for %d blocks: awaits a delivery %v, has one %v", p.id, len(p.queue), p.awaits, p.delivery != nil)
		}
		if p.awaits != slices.Contains(o.line, p) || p.delivery != nil && !slices.Contains(o.deliveries, p.delivery) {
			return fmt.Errorf("peer %d is not in the line or the deliveries as it says", p.id)
		}
		if d := p.delivery; d != nil && !p.waits(d.piece) && (len(p.queue) > 0 || p.find(d.piece) == nil || d.sent >= o.size(d.piece)) {
			return fmt.Errorf("nothing is left of the delivery of piece %d to peer %d, which asked for %d blocks of others", d.piece, p.id, len(p.queue))
		}
		awaiting += count(p.awaits)
		delivering += count(p.delivery != nil)
	}
	if awaiting != len(o.line) || delivering != len(o.deliveries) {
		return fmt.Errorf("%d peers in line, %d deliveries; counted %d, %d", len(o.line), len(o.deliveries), awaiting, delivering)
	}
	return nil
}

func recountPieces(o *Origin, copies, reveals []int32) error {
	held, spread, unsent := 0, 0, 0
	for i := range o.pieces {
		c := &o.pieces[i]
		if c.copies != copies[i] || c.reveals != reveals[i] {
			return fmt.Errorf("piece %d: %d copies, %d reveals; counted %d, %d", i, c.copies, c.reveals, copies[i], reveals[i])
		}
		fresh := copies[i] == 0 && reveals[i] == 0 && !c.withdrawn && o.ours(i)
		if fresh != o.fresh.has(i) || fresh && (o.spare.has(i) || o.relief.has(i)) {
			return fmt.Errorf("piece %d: fresh %v, want %v", i, o.fresh.has(i), fresh)
		}
		held += count(copies[i] > 0)
		spread += count(copies[i] > 1)
		unsent += count(!c.sentWhole)
	}
	if held != o.held || spread != o.spread || unsent != o.unsent {
		return fmt.Errorf("held %d, spread %d, unsent %d; counted %d, %d, %d", o.held, o.spread, o.unsent, held, spread, unsent)
	}
	return nil
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
