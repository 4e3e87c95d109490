package mesh

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A State is what is believed of a member.
type State uint8

// The states. Gossip alone never makes more than a suspect: starved machines were seen to call thousands of others dead.
const (
	StateAlive   State = iota + 1
	StateSuspect       // gossip has lost it, or it took its leave
	StateDead          // and for deadAfter nothing was heard of it since
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case StateAlive:
		return "alive"
	case StateSuspect:
		return "suspect"
	case StateDead:
		return "dead"
	default:
		return "unknown"
	}
}

const (
	deadAfter   = 30 * time.Second
	forgetAfter = 10 * time.Minute
	maxMembers  = 8192 // more are not listed
)

// A Member is one process of the mesh as this one knows it.
type Member struct {
	Name  string
	Addr  netip.AddrPort // for gossip
	Meta  Meta
	State State
	Since time.Time // when it came to be in this state
}

// Swarm returns where the member speaks BitTorrent, or the zero value if it does not.
func (m Member) Swarm() netip.AddrPort {
	if m.Meta.Swarm == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(m.Addr.Addr(), m.Meta.Swarm)
}

// A table is what was learnt of members.
type table struct {
	deadAfter time.Duration

	mu      sync.Mutex
	known   map[string]Member
	changed chan struct{} // closed and replaced at every change
	timer   *time.Timer   // runs while a member's state will change by itself
}

func newTable() *table {
	t := &table{deadAfter: deadAfter, known: make(map[string]Member), changed: make(chan struct{}), timer: time.NewTimer(0)}
	t.timer.Stop()
	return t
}

// put records that a member is alive, or changed.
func (t *table) put(name string, addr netip.AddrPort, meta Meta) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.known[name]
	if !ok && len(t.known) >= maxMembers {
		return
	}
	if !ok || m.State != StateAlive || m.Meta.BootID != meta.BootID {
		m.Since = time.Now()
	}
	m.Name, m.Addr, m.Meta, m.State = name, addr, meta, StateAlive
	t.known[name] = m
	t.notify()
}

// lose records that gossip has lost a member.
func (t *table) lose(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.known[name]
	if !ok || m.State != StateAlive {
		return
	}
	m.State, m.Since = StateSuspect, time.Now()
	t.known[name] = m
	t.schedule()
	t.notify()
}

// age moves members on whose time has come: suspects to the dead, the dead to oblivion.
func (t *table) age() {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	moved := false
	for name, m := range t.known {
		switch {
		case now.Before(t.until(m)):
			continue
		case m.State == StateSuspect:
			m.Since, m.State = t.until(m), StateDead
			t.known[name] = m
		case m.State == StateDead:
			delete(t.known, name)
		default:
			continue
		}
		moved = true
	}
	t.schedule()
	if moved {
		t.notify()
	}
}

// until returns when a member's state changes by itself.
func (t *table) until(m Member) time.Time {
	if m.State == StateSuspect {
		return m.Since.Add(t.deadAfter)
	}
	return m.Since.Add(forgetAfter)
}

// schedule sets the timer for the next call of age. The caller holds mu.
func (t *table) schedule() {
	var next time.Time
	for _, m := range t.known {
		if u := t.until(m); m.State != StateAlive && (next.IsZero() || u.Before(next)) {
			next = u
		}
	}
	t.timer.Stop()
	if !next.IsZero() {
		t.timer.Reset(max(0, time.Until(next)))
	}
}

// due receives when age should be called.
func (t *table) due() <-chan time.Time { return t.timer.C }

func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer.Stop()
}

// notify wakes those who watch. The caller holds mu.
func (t *table) notify() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *table) watch() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *table) members() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	ms := make([]Member, 0, len(t.known))
	for _, m := range t.known {
		m.Meta.Holdings = slices.Clone(m.Meta.Holdings)
		ms = append(ms, m)
	}
	slices.SortFunc(ms, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return ms
}

// A delegate receives memberlist's calls, which come under its locks: each only copies into the table.
type delegate struct{ m *Mesh }

// NotifyAlive keeps out members that do not describe themselves as we do.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	_, err := parseMeta(n.Meta)
	return err
}

// NotifyJoin records a member that is new or has come back.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.NotifyUpdate(n) }

// NotifyUpdate records what a member says of itself.
func (d delegate) NotifyUpdate(n *memberlist.Node) {
	meta, err := parseMeta(n.Meta)
	if err != nil {
		return // NotifyAlive has refused it
	}
	ip, _ := netip.AddrFromSlice(n.Addr)
	d.m.table.put(n.Name, netip.AddrPortFrom(ip.Unmap(), n.Port), meta)
}

// NotifyLeave records that a member is lost.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	if n.Name != d.m.name { // taking leave, we are told of ourselves as well
		d.m.table.lose(n.Name)
	}
}

// NodeMeta returns what this process says of itself. It is far below any limit of memberlist's.
func (d delegate) NodeMeta(int) []byte { return *d.m.meta.Load() }

// NotifyMsg, GetBroadcasts, LocalState and MergeRemoteState complete memberlist's interface; the mesh carries nothing else.
func (d delegate) NotifyMsg([]byte)                {}
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte          { return nil }
func (d delegate) MergeRemoteState([]byte, bool)   {}
