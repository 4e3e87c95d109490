package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// An Entry is one change as it stands in the log: a command and its audit record. The proposer fills in everything,
// time included, since replicas have no clock of their own when they apply it.
type Entry struct {
	Command Command
	At      time.Time // when it was proposed, UTC
	Who     string    // the user, node or controller that asked
	Why     string    // the user's message, if any
}

// A Command is one kind of change to a State.
type Command interface {
	// Kind is the command's name in the log.
	Kind() string
	// apply returns the state after the command, or the reason it is refused. It is called with the revision that
	// the result will have.
	apply(s State, rev Revision) (State, error)
}

// kinds maps the name of each kind of command in the log to its type. It is append-only: old logs still hold these.
var kinds = map[string]func() Command{
	"cluster.init":    func() Command { return new(InitCluster) },
	"cluster.set":     func() Command { return new(SetCluster) },
	"node.add":        func() Command { return new(AddNodes) },
	"node.set":        func() Command { return new(SetNodes) },
	"node.delete":     func() Command { return new(DeleteNodes) },
	"network.put":     func() Command { return new(PutNetwork) },
	"network.delete":  func() Command { return new(DeleteNetwork) },
	"image.add":       func() Command { return new(AddImageVersion) },
	"image.initramfs": func() Command { return new(SetInitramfs) },
	"image.delete":    func() Command { return new(DeleteImage) },
}

// MaxEntry bounds an encoded entry, in bytes. Larger things belong in blobs.
const MaxEntry = 512 << 10

// ErrUndecodable means that an entry was written by a newer or a broken controller. A replica that meets one must
// stop: to skip the entry would fork it.
var ErrUndecodable = errors.New("undecodable entry")

type wireEntry struct {
	Kind string          `json:"kind"`
	At   time.Time       `json:"at"`
	Who  string          `json:"who"`
	Why  string          `json:"why,omitempty"`
	Body json.RawMessage `json:"body"`
}

// EncodeEntry returns e's bytes for the log. It fails if they are more than MaxEntry.
func EncodeEntry(e Entry) ([]byte, error) {
	if err := checkText("message", e.Why, 1024); err != nil {
		return nil, err
	}
	body, err := json.Marshal(e.Command)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Command.Kind(), err)
	}
	b, err := json.Marshal(wireEntry{Kind: e.Command.Kind(), At: e.At.UTC(), Who: e.Who, Why: e.Why, Body: body})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Command.Kind(), err)
	}
	if len(b) > MaxEntry {
		return nil, fmt.Errorf("%w %s: %d bytes in one change, at most %d; change fewer objects at a time", ErrInvalid, e.Command.Kind(), len(b), MaxEntry)
	}
	return b, nil
}

// DecodeEntry reads what EncodeEntry wrote. Its error wraps ErrUndecodable.
func DecodeEntry(b []byte) (Entry, error) {
	var w wireEntry
	if err := decodeStrict(b, &w); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	make, ok := kinds[w.Kind]
	if !ok {
		return Entry{}, fmt.Errorf("%w: kind %q; this controller is too old for its cluster", ErrUndecodable, w.Kind)
	}
	c := make()
	if err := decodeStrict(w.Body, c); err != nil {
		return Entry{}, fmt.Errorf("%w: %s: %w", ErrUndecodable, w.Kind, err)
	}
	return Entry{Command: c, At: w.At, Who: w.Who, Why: w.Why}, nil
}

// decodeStrict refuses fields it does not know: a field that this release would drop is a change it would lose.
func decodeStrict(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// Apply returns the state after e, at revision rev, which must be above s's. If e is refused, the error says why and
// the state differs from s in its revision alone.
func (s State) Apply(e Entry, rev Revision) (State, error) {
	next, err := e.Command.apply(s, rev)
	if err != nil {
		s.rev = rev
		return s, err
	}
	next.rev = rev
	return next, nil
}

// Advance returns s at a later revision with nothing changed, as after an entry that is not a command.
func (s State) Advance(rev Revision) State {
	s.rev = rev
	return s
}
