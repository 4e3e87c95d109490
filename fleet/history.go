package fleet

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Bounds of what a state remembers of its configuration: this many changes, and this many bytes of the JSON of what they
// changed.
const (
	MaxHistory      = 1000
	MaxHistoryBytes = 32 << 20
)

// A Record is one change of the configuration, or of a user. To arm nodes is none.
type Record struct {
	Revision Revision  `json:"revision"`          // that it made
	At       time.Time `json:"at"`                // when it was proposed
	Who      string    `json:"who,omitempty"`     // asked for it
	Why      string    `json:"why,omitempty"`     // the message of who asked
	Kind     string    `json:"kind"`              // of the command
	Changed  []Change  `json:"changed,omitempty"` // each object once, by kind and name
	// User is what became of a user, who is no object of the configuration: nothing takes that back.
	User *UserChange `json:"user,omitempty"`
}

// A Change is what one object was before a change and after it. An Object that says nothing is one that did not exist.
type Change struct {
	Kind   string `json:"kind"` // node, profile, network or cluster
	Name   string `json:"name,omitempty"`
	Before Object `json:"before,omitzero"`
	After  Object `json:"after,omitzero"` // not in snapshots: the next record, or the state, has it
}

// Ref returns the name of the object that changed.
func (c Change) Ref() Ref { return Ref{c.Kind, c.Name} }

// WithoutSecrets returns r without what may be written and not read.
func (r Record) WithoutSecrets() Record {
	r.Changed = slices.Clone(r.Changed)
	for at := range r.Changed {
		c := &r.Changed[at]
		c.Before, c.After = c.Before.WithoutSecrets(), c.After.WithoutSecrets()
	}
	return r
}

// A history is the latest changes of the configuration. It is immutable, like a State.
type history struct {
	records queue[*past]
	bytes   int      // of the JSON of what they changed
	since   Revision // it tells all that changed after that revision; 0: there is no history yet
}

// A past is a Record without what objects were after it.
type past struct {
	Record
	bytes int // of the JSON of what it changed
}

// last returns the revision of the latest change.
func (h history) last() Revision {
	if r, ok := h.records.last(); ok {
		return r.Revision
	}
	return h.since
}

// lastEdit returns the revision since which nobody has changed the configuration.
func (h history) lastEdit() Revision {
	for r := range h.records.backward() {
		if len(r.Changed) > 0 {
			return r.Revision
		}
	}
	return h.since
}

// add returns h with r as the latest, without the oldest ones if there are too many.
func (h history) add(p *past) history {
	h.records = h.records.push(p)
	h.bytes += p.bytes
	for h.records.count > MaxHistory || h.bytes > MaxHistoryBytes {
		var oldest *past
		oldest, h.records = h.records.pop()
		h.bytes -= oldest.bytes
		h.since = oldest.Revision
	}
	return h
}

// until returns h as it was at a revision since which it knows all.
func (h history) until(rev Revision) history {
	then := history{since: h.since}
	for p := range h.records.all() {
		if p.Revision <= rev {
			then = then.add(p)
		}
	}
	return then
}

// newPast measures r.
func newPast(r Record) *past {
	p := &past{Record: r}
	for _, c := range r.Changed {
		if b, err := json.Marshal(c.Before); err == nil { // an object of a state can be encoded: WriteTo does it
			p.bytes += len(b)
		}
	}
	return p
}

// remember returns next with what e has changed since s, which was before it.
func (s State) remember(next State, e Entry) State {
	changed := next.pending.values()
	told := next.told
	next.pending, next.told = nil, nil
	if next.Format() < 4 {
		return next
	}
	if next.history.since == 0 {
		next.history.since = next.rev // this entry has led to the format that has a history
		return next
	}
	if was, is := s.settings(), next.settings(); !was.same(is) {
		changed = append(changed, Change{Kind: ObjectCluster, Before: Object{Cluster: &was}})
	}
	slices.Reverse(changed) // now from the first on: of what changed twice, the first is what was
	slices.SortStableFunc(changed, func(a, b Change) int { return a.Ref().compare(b.Ref()) })
	changed = slices.CompactFunc(changed, func(a, b Change) bool { return a.Ref() == b.Ref() })
	changed = slices.DeleteFunc(changed, func(c Change) bool { // such as of a node that was armed
		now, _ := next.Object(c.Ref())
		return c.Before.same(now)
	})
	if len(changed) == 0 && told == nil {
		return next
	}
	next.history = next.history.add(newPast(Record{Revision: next.rev, At: e.At.UTC(), Who: e.Who, Why: e.Why, Kind: e.Command.Kind(), Changed: changed, User: told}))
	return next
}

func (s State) settings() ClusterSettings {
	if s.cluster == nil {
		return ClusterSettings{}
	}
	return s.cluster.Settings()
}

// note keeps in mind what an object of s was before it changes.
func (s State) note(r Ref) State {
	if s.history.since == 0 {
		return s
	}
	before, _ := s.Object(r)
	s.pending = &cell[Change]{Change{Kind: r.Kind, Name: r.Name, Before: before}, s.pending}
	return s
}

// History yields the changes of the configuration that s remembers, from the latest on.
func (s State) History() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		later := map[Ref]Object{}
		for r := range s.history.records.backward() {
			told := r.Record
			told.Changed = slices.Clone(r.Changed)
			for at := range told.Changed {
				c := &told.Changed[at]
				after, known := later[c.Ref()]
				if !known {
					after, _ = s.Object(c.Ref())
				}
				c.After, later[c.Ref()] = after, c.Before
			}
			if !yield(told) {
				return
			}
		}
	}
}

// undo returns what the objects that changed after a revision were at it, in the order of their names.
func (s State) undo(rev Revision) ([]Change, error) {
	switch since := s.history.since; {
	case rev > s.rev:
		return nil, fmt.Errorf("revision %d: %w; the state is at %d", rev, ErrNotFound, s.rev)
	case since == 0 && rev < s.rev:
		return nil, fmt.Errorf("revision %d: %w: the history begins when all controllers are of a release that keeps one", rev, ErrNotFound)
	case rev < since:
		return nil, fmt.Errorf("revision %d: %w: the history goes back to %d", rev, ErrNotFound, since)
	}
	was := map[Ref]Object{}
	for r := range s.history.records.backward() {
		if r.Revision <= rev {
			break
		}
		for _, c := range r.Changed {
			was[c.Ref()] = c.Before
		}
	}
	changes := make([]Change, 0, len(was))
	for ref, before := range was {
		after, _ := s.Object(ref)
		changes = append(changes, Change{Kind: ref.Kind, Name: ref.Name, Before: before, After: after})
	}
	slices.SortFunc(changes, func(a, b Change) int { return a.Ref().compare(b.Ref()) })
	return changes, nil
}

// At returns s with the configuration as it was at revision rev: nodes, profiles, networks and what people chose for the
// cluster. All else, images among it, is as it is now. The error is ErrNotFound if rev is yet to come, or the history does
// not go back so far; it says how far.
func (s State) At(rev Revision) (State, error) {
	changes, err := s.undo(rev)
	if err != nil {
		return State{}, err
	}
	then := s
	for _, c := range changes { // what the indexes hold of nodes goes by the networks of now
		if n := c.After.Node; n != nil {
			then = then.disarm(*n).dropAddresses(*n).dropUser(*n)
		}
	}
	for _, c := range changes {
		then = then.replace(c.Ref(), c.Before)
	}
	moved := slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == ObjectNetwork })
	if moved {
		then.armed = tree[string]{}
		for n := range then.Nodes() {
			then = then.arm(n)
		}
	}
	for _, c := range changes {
		if n := c.Before.Node; n != nil {
			then = then.indexAddresses(*n).indexUser(*n).arm(*n)
		}
	}
	then.history = s.history.until(rev)
	return then.Advance(rev), nil
}

// replace puts an object as it stands into its tree, or takes it out if it is none.
func (s State) replace(r Ref, o Object) State {
	switch key := []byte(r.Name); r.Kind {
	case ObjectNode:
		s.nodes = replaced(s.nodes, key, o.Node)
	case ObjectProfile:
		s.profiles = replaced(s.profiles, key, o.Profile)
	case ObjectNetwork:
		s.networks = replaced(s.networks, key, o.Network)
	case ObjectCluster:
		cluster := *s.cluster
		cluster.AuthorizedKeys, cluster.Seeding = o.Cluster.AuthorizedKeys, o.Cluster.Seeding
		s.cluster = &cluster
	}
	return s
}

// Rollback returns the Edit that makes the configuration what it was at revision rev; one of no objects if it is so. The
// error is ErrNotFound as with At. Which nodes are armed is no part of it.
func (s State) Rollback(rev Revision) (Edit, error) {
	changes, err := s.undo(rev)
	if err != nil {
		return Edit{}, err
	}
	var back Edit
	for _, c := range changes {
		switch gone := c.Before == (Object{}); {
		case gone && c.After != (Object{}):
			back.Deletes = append(back.Deletes, c.Ref())
		case !gone && !c.Before.same(c.After):
			back.Puts = append(back.Puts, c.Before.whole())
		}
	}
	return back, nil
}

// ConfigHash returns the SHA-256 of the configuration: of what nodes, profiles, networks and people's choices for the
// cluster say, whenever they were written and whichever nodes are armed. States with one hash have one configuration.
func (s State) ConfigHash() Digest {
	h := sha256.New()
	enc := json.NewEncoder(h)
	put := func(o Object) {
		if err := enc.Encode(o); err != nil {
			panic("fleet: an object cannot be encoded: " + err.Error()) // as in Hash
		}
	}
	settings := s.settings()
	put(Object{Cluster: &settings})
	for n := range s.Networks() {
		n.Revision = 0
		put(Object{Network: &n})
	}
	for p := range s.Profiles() {
		p = p.clone()
		p.Settings.tidy()
		p.Revision = 0
		put(Object{Profile: &p})
	}
	for n := range s.Nodes() {
		n = n.clone()
		n.Settings.tidy()
		n.Discover, n.Revision = time.Time{}, 0
		put(Object{Node: &n})
	}
	return Digest(h.Sum(nil))
}

// replaced returns t with v under a key, or nothing if v is nil.
func replaced[T any](t tree[*T], key []byte, v *T) tree[*T] {
	if v == nil {
		return t.drop(key)
	}
	return t.put(key, v)
}
