package raftstore

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A listener is Raft's transport. It notes which followers acknowledge this leader, and when they were asked.
type listener struct {
	*raft.NetworkTransport
	replies *replies
}

var (
	_ raft.WithPreVote = listener{}
	_ raft.WithClose   = listener{}
)

// AppendEntries implements raft.Transport. Heartbeats come this way too.
func (l listener) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	asked := time.Now()
	if err := l.NetworkTransport.AppendEntries(id, target, args, resp); err != nil {
		return err
	}
	if resp.Success && resp.Term == args.Term {
		l.replies.put(id, args.Term, asked)
	}
	return nil
}

// A reply is the last acknowledgement of one follower.
type reply struct {
	term  uint64
	asked time.Time
}

// replies are the last acknowledgements of each follower.
type replies struct {
	changed signal // fires after each
	mu      sync.Mutex
	of      map[raft.ServerID]reply
}

func (r *replies) put(id raft.ServerID, term uint64, asked time.Time) {
	r.mu.Lock()
	if r.of == nil {
		r.of = map[raft.ServerID]reply{}
	}
	if last := r.of[id]; term > last.term || term == last.term && asked.After(last.asked) {
		r.of[id] = reply{term, asked}
	}
	r.mu.Unlock()
	r.changed.fire()
}

// since reports whether a follower was asked in term, since then, and has acknowledged.
func (r *replies) since(id raft.ServerID, term uint64, then time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.of[id]
	return last.term == term && !last.asked.Before(then)
}

// rounds run one piece of work for all who want it. Who comes while it runs gets the next run, which begins after the
// last one has ended, and shares it with all who come until then. The zero value is ready.
type rounds struct {
	mu      sync.Mutex
	running bool
	next    *round // nil if nobody waits for it
}

// A round is one run.
type round struct {
	done chan struct{}
	err  error // to be read after done is closed
	work func() error
}

// join returns a run of work that has not begun yet.
func (g *rounds) join(work func() error) *round {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = &round{done: make(chan struct{}), work: work}
	}
	r := g.next
	if !g.running {
		g.running = true
		go g.run()
	}
	return r
}

// run runs rounds until nobody wants another.
func (g *rounds) run() {
	for {
		g.mu.Lock()
		r := g.next
		g.next = nil
		g.running = r != nil
		g.mu.Unlock()
		if r == nil {
			return
		}
		r.err = r.work()
		close(r.done)
	}
}
