package netboot

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

// Times and bounds of standing in. Clients send a request again after 250 ms (iPXE's DHCPREQUEST) to 4 s (PXE 2.1,
// 2.2.4), so that whoever stands in is mostly in time for the first try.
const (
	standInStep   = 200 * time.Millisecond // between one controller's answer and the next one's
	standInMost   = time.Second
	maxStandIns   = 8192 // answers that wait, about 2 KiB each
	maxPerMachine = 4    // that differ only in the relay agent
)

// standInDelay is how long the controller with that place in the order for a machine leaves the answer to those before it.
func standInDelay(place int) time.Duration { return min(time.Duration(place)*standInStep, standInMost) }

// A heldReply waits to be sent in case nobody before this controller answers.
type heldReply struct {
	due      time.Time
	mark     imprint
	at       arrival
	reply    dhcp.Reply
	decision dhcp.Decision
	index    int // in the heap; -1 once it is out
}

// standIns holds back answers that other controllers are to give first. It keeps no time of its own. Its methods may be
// called from any goroutine.
type standIns struct {
	mu        sync.Mutex
	queue     heldQueue
	byMachine map[fleet.MAC][]*heldReply
	sooner    chan struct{} // holds one: the first to be due has changed
}

func newStandIns() *standIns {
	return &standIns{byMachine: map[fleet.MAC][]*heldReply{}, sooner: make(chan struct{}, 1)}
}

// heard drops the answers to what m asked before, since m has gone on: another server answered, or it begins anew. It
// returns how many it dropped, and whether the answer to this very request waits already. A client that asks the same
// again, having heard nothing, has not gone on.
func (s *standIns) heard(m fleet.MAC, mark imprint) (dropped int, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range slices.Clone(s.byMachine[m]) {
		switch {
		case h.mark.xid != mark.xid || h.mark.kind != mark.kind:
			s.remove(m, h)
			dropped++
		case h.mark.giaddr == mark.giaddr && h.mark.ciaddr == mark.ciaddr:
			waits = true
		}
	}
	return dropped, waits
}

// hold keeps an answer to m until it is due. It reports whether there was room.
func (s *standIns) hold(m fleet.MAC, h *heldReply) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= maxStandIns || len(s.byMachine[m]) >= maxPerMachine {
		return false
	}
	heap.Push(&s.queue, h)
	s.byMachine[m] = append(s.byMachine[m], h)
	if h.index == 0 {
		select {
		case s.sooner <- struct{}{}:
		default:
		}
	}
	return true
}

// take removes and returns the next answer that is due at now. Without one it is nil, and next says when one will be:
// never, if it is zero.
func (s *standIns) take(now time.Time) (h *heldReply, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil, time.Time{}
	}
	h = s.queue[0]
	if now.Before(h.due) {
		return nil, h.due
	}
	s.remove(h.decision.Client.MAC, h)
	return h, time.Time{}
}

// remove takes h out, under the lock.
func (s *standIns) remove(m fleet.MAC, h *heldReply) {
	heap.Remove(&s.queue, h.index)
	rest := slices.DeleteFunc(s.byMachine[m], func(o *heldReply) bool { return o == h })
	if len(rest) == 0 {
		delete(s.byMachine, m)
		return
	}
	s.byMachine[m] = rest
}

// run hands each answer to send when it is due, until ctx ends.
func (s *standIns) run(ctx context.Context, send func(*heldReply)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.sooner:
		case <-timer.C:
		}
		h, next := s.take(time.Now())
		for ; h != nil; h, next = s.take(time.Now()) {
			send(h)
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// A heldQueue is a heap by time.
type heldQueue []*heldReply

func (q heldQueue) Len() int           { return len(q) }
func (q heldQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q heldQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *heldQueue) Push(x any) {
	h := x.(*heldReply)
	h.index = len(*q)
	*q = append(*q, h)
}

// Pop implements heap.Interface.
func (q *heldQueue) Pop() any {
	last := len(*q) - 1
	h := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	h.index = -1
	return h
}

// live returns the controllers that are alive, this one among them.
func (s *Server) live() []fleet.Controller {
	var live []fleet.Controller
	if s.cfg.Live != nil {
		live = s.cfg.Live()
	}
	if !slices.ContainsFunc(live, s.isSelf) {
		live = append(slices.Clone(live), s.cfg.Self)
	}
	return live
}

func (s *Server) isSelf(c fleet.Controller) bool { return c.ID == s.cfg.Self.ID }

// place returns how many controllers are to answer m before this one.
func (s *Server) place(m fleet.MAC, live []fleet.Controller) int {
	return slices.IndexFunc(fleet.Order(m, live), s.isSelf)
}

// patience returns how long the answer that d decided on is left to other controllers; ok is false if it is theirs
// alone.
//
// A request that came to this controller alone, and one that takes its offer, are answered at once. One that takes the
// offer of another controller is left to that one while it seems alive, unless the client asks again: then it heard
// nothing, and whoever stands in answers in the other's name, since a client believes no one else's.
func (s *Server) patience(d dhcp.Decision, mark imprint, at arrival, now time.Time) (wait time.Duration, ok bool) {
	live := s.live()
	switch {
	case at.listener.proxy, d.Taken == s.cfg.Self.Address, at.direct && !d.Relay.IsValid():
		return 0, true
	case d.Taken.IsValid():
		again := s.gate.again(d.Client.MAC, mark, now)
		alive := slices.ContainsFunc(live, func(c fleet.Controller) bool { return c.Address == d.Taken })
		if alive && !again {
			return 0, false
		}
	}
	return standInDelay(s.place(d.Client.MAC, live)), true
}

// standIn sends an answer that waited its turn.
func (s *Server) standIn(h *heldReply) {
	defer s.survive()
	s.counters.stoodIn.Add(1)
	s.settle(h.at, h.mark, h.reply, h.decision, time.Now())
}
