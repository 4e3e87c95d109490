package fleet

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"
)

// MaxOutcomes is how many outcomes a state remembers: those of the latest entries with an id.
const MaxOutcomes = 8192

// maxRefusal bounds the text of a remembered refusal, in bytes.
const maxRefusal = 512

// An Outcome is what became of an entry with an id.
type Outcome struct {
	ID       string   `json:"id"`
	Revision Revision `json:"revision"`          // that the entry made
	Refusal  string   `json:"refusal,omitempty"` // the reason in words, cut if it is very long; "" if the entry was accepted
	Reason   string   `json:"reason,omitempty"`  // the stable name of the sentinel that the refusal wraps
}

func newOutcome(id string, rev Revision, refusal error) *Outcome {
	o := &Outcome{ID: id, Revision: rev}
	if refusal != nil {
		o.Reason = cmp.Or(reasonOf(refusal), reasons[0].name)
		o.Refusal = strings.ToValidUTF8(refusal.Error(), "\ufffd")
		if len(o.Refusal) > maxRefusal {
			o.Refusal = strings.ToValidUTF8(o.Refusal[:maxRefusal-3], "") + "…"
		}
	}
	return o
}

// Err returns nil if the entry was accepted, and otherwise an error like the one that it was refused with.
func (o Outcome) Err() error {
	if o.Reason == "" {
		return nil
	}
	return refusal{o.Refusal, sentinel(o.Reason)}
}

func (o Outcome) check() error {
	if err := checkID("request", o.ID); err != nil {
		return err
	}
	if o.Reason != "" && sentinel(o.Reason) == nil {
		return fmt.Errorf("outcome of %s: reason %q is not known to this release", o.ID, o.Reason)
	}
	return nil
}

// A refusal is an error put together again from an Outcome.
type refusal struct {
	text   string
	reason error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.reason }

// Outcome returns what became of the entry with that id; false if none had it, or too many came after.
func (s State) Outcome(id string) (Outcome, bool) {
	if o := s.outcomes.get(id); o != nil {
		return *o, true
	}
	return Outcome{}, false
}

// outcomes are the latest MaxOutcomes outcomes, in the order they came. It is immutable like a State, and made for two
// things: to be small, and to be changed with little copying, since each entry makes another one.
type outcomes struct {
	byID *trie
	queue[*Outcome]
}

func (q outcomes) get(id string) *Outcome {
	if id == "" || q.byID == nil {
		return nil
	}
	return q.byID.get(id)
}

// add returns q with o as the latest, and without the oldest if it is full.
func (q outcomes) add(o *Outcome) outcomes {
	if q.count == MaxOutcomes {
		var oldest *Outcome
		oldest, q.queue = q.pop()
		q.byID = q.byID.drop(keyOf(oldest.ID), 0)
	}
	q.queue = q.push(o)
	q.byID = q.byID.put(o, keyOf(o.ID), 0)
	return q
}

// A trie finds outcomes by the SHA-256 of their id, two bits at each level: ids come from clients, and whatever they
// choose, the trie stays shallow. A node is never changed; nil is the empty trie.
type trie struct {
	leaves [4]*Outcome
	below  [4]*trie
}

type trieKey = [sha256.Size]byte

func keyOf(id string) trieKey { return sha256.Sum256([]byte(id)) }

func trieDigit(k trieKey, depth int) int { return int(k[depth/4]>>(depth%4*2)) & 3 }

func (t *trie) get(id string) *Outcome {
	key := keyOf(id)
	for depth := 0; t != nil; depth++ {
		at := trieDigit(key, depth)
		if o := t.leaves[at]; o != nil {
			if o.ID != id {
				return nil
			}
			return o
		}
		t = t.below[at]
	}
	return nil
}

// put returns t with o, whose id is not in t.
func (t *trie) put(o *Outcome, key trieKey, depth int) *trie {
	var next trie
	if t != nil {
		next = *t
	}
	at := trieDigit(key, depth)
	other := next.leaves[at]
	switch {
	case other != nil:
		next.leaves[at] = nil
		below := (*trie)(nil).put(other, keyOf(other.ID), depth+1)
		next.below[at] = below.put(o, key, depth+1)
	case next.below[at] != nil:
		next.below[at] = next.below[at].put(o, key, depth+1)
	default:
		next.leaves[at] = o
	}
	return &next
}

// drop returns t without the outcome with that key, which is in t; nil if nothing is left.
func (t *trie) drop(key trieKey, depth int) *trie {
	next := *t
	at := trieDigit(key, depth)
	if next.leaves[at] != nil {
		next.leaves[at] = nil
	} else {
		next.below[at] = next.below[at].drop(key, depth+1)
		if below := next.below[at]; below != nil {
			if o := below.single(); o != nil {
				next.below[at], next.leaves[at] = nil, o
			}
		}
	}
	if next == (trie{}) {
		return nil
	}
	return &next
}

// single returns t's outcome if it has but one, and that at its own level.
func (t *trie) single() *Outcome {
	var only *Outcome
	for at := range t.leaves {
		switch {
		case t.below[at] != nil, t.leaves[at] != nil && only != nil:
			return nil
		case t.leaves[at] != nil:
			only = t.leaves[at]
		}
	}
	return only
}
