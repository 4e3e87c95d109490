package fleet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Format is the newest format of entries and snapshots that this release writes and reads. A cluster uses the format
// that all of its controllers understand: State.Format. What format 1 does not have: ids and conditions of entries,
// the kinds of command that say so in the table, armed nodes, join tokens, keys of controllers and holders of images. What
// format 2 does not have: a cluster's Seeding. What format 3 does not have: profiles, settings of nodes beyond image,
// kernel arguments, rack, MAC and address, users, the history, and packed entries.
const Format = 4

// An Entry is one change as it stands in the log: a command and its audit record. The proposer fills in everything,
// time included, since replicas have no clock of their own when they apply it.
type Entry struct {
	Command Command
	ID      string      // of the request; an entry with the id of an earlier one changes nothing. "" is no id
	If      []Condition // what must hold as the command is applied
	At      time.Time   // when it was proposed, UTC
	Who     string      // the user, node or controller that asked
	Why     string      // the user's message, if any
}

// A Command is one kind of change to a State.
type Command interface {
	// Kind is the command's name in the log.
	Kind() string
	// apply returns the state after the command, or the reason it is refused.
	apply(s State, a applied) (State, error)
}

// applied is what a command may know of the entry that it came in.
type applied struct {
	rev Revision  // of the state that will result
	at  time.Time // when the entry was proposed
	who string    // asked for it
}

// A kind is how commands of one name are read.
type kind struct {
	since int // the first format that has them
	make  func() Command
}

// kinds maps the name of each kind of command in the log to its type. It is append-only: old logs still hold these.
var kinds = map[string]kind{
	"cluster.init":       {1, func() Command { return new(InitCluster) }},
	"cluster.set":        {1, func() Command { return new(SetCluster) }},
	"node.add":           {1, func() Command { return new(AddNodes) }},
	"node.set":           {1, func() Command { return new(SetNodes) }},
	"node.delete":        {1, func() Command { return new(DeleteNodes) }},
	"network.put":        {1, func() Command { return new(PutNetwork) }},
	"network.delete":     {1, func() Command { return new(DeleteNetwork) }},
	"image.add":          {1, func() Command { return new(AddImageVersion) }},
	"image.initramfs":    {1, func() Command { return new(SetInitramfs) }},
	"image.delete":       {1, func() Command { return new(DeleteImage) }},
	"cluster.format":     {2, func() Command { return new(SetFormat) }},
	"cluster.seal":       {2, func() Command { return new(SealCAKey) }},
	"token.add":          {2, func() Command { return new(AddJoinToken) }},
	"controller.join":    {2, func() Command { return new(JoinController) }},
	"controller.remove":  {2, func() Command { return new(RemoveController) }},
	"controller.replace": {2, func() Command { return new(ReplaceControllers) }},
	"discovery.arm":      {2, func() Command { return new(ArmDiscovery) }},
	"discovery.claim":    {2, func() Command { return new(ClaimNode) }},
	"config.edit":        {4, func() Command { return new(Edit) }},
	"user.add":           {4, func() Command { return new(AddCertificate) }},
	"user.delete":        {4, func() Command { return new(DeleteUser) }},
}

// What a command says of formats beyond its kind:
type (
	// An extender is of a kind that has gained fields since it came.
	extender interface {
		// needs returns the first format that has all the fields that are set.
		needs() int
	}

	// A reducer can do without the fields that format 1 lacks.
	reducer interface {
		reduced() Command
	}

	// A raiser leads to a format of the state, and is itself written in that one: its proposer has made sure that every
	// controller understands it.
	raiser interface {
		raises() int
	}
)

// formatOf returns the first format in which c can be written as it is.
func formatOf(c Command) int {
	format := kinds[c.Kind()].since
	if x, ok := c.(extender); ok {
		format = max(format, x.needs())
	}
	return format
}

// formatFor returns the format of an entry with c in a cluster of that format.
func formatFor(c Command, format int) int {
	if r, ok := c.(raiser); ok {
		return max(format, r.raises())
	}
	return format
}

// tooNew is the refusal of what is of format need, where only have is allowed.
func tooNew(what string, need, have int) error {
	return fmt.Errorf("%s %w: it is of format %d, this cluster is at %d; first upgrade samara on every controller, whose versions samara controller list shows", what, ErrFormat, need, have)
}

// Limits on an entry.
const (
	MaxEntry      = 512 << 10 // bytes, encoded; larger things belong in blobs
	MaxUnpacked   = 64 << 20  // bytes of an entry that is packed, before it was
	MaxID         = 64        // characters of an entry's id
	MaxConditions = 64
)

// ErrUndecodable means that an entry was written by a newer or a broken controller. A replica that meets one must
// stop: to skip the entry would fork it.
var ErrUndecodable = errors.New("undecodable entry")

type wireEntry struct {
	Kind string          `json:"kind"`
	At   time.Time       `json:"at"`
	Who  string          `json:"who"`
	Why  string          `json:"why,omitempty"`
	ID   string          `json:"id,omitempty"` // this and If: since format 2
	If   []Condition     `json:"if,omitempty"`
	Body json.RawMessage `json:"body"`
}

// EncodeEntry returns e's bytes for the log of a cluster of that format, which is State.Format of its present state,
// be it empty. Format 1 has no ids: the entry is written without, and a repetition of it is another entry. The error is
// ErrFormat if e cannot do without what the format lacks, and ErrInvalid if e is malformed or over a limit.
func EncodeEntry(e Entry, format int) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	format = min(formatFor(e.Command, format), Format)
	e, err := e.in(format)
	if err != nil {
		return nil, err
	}
	name := e.Command.Kind()
	body, err := json.Marshal(e.Command)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	b, err := json.Marshal(wireEntry{Kind: name, At: e.At.UTC(), Who: e.Who, Why: e.Why, ID: e.ID, If: e.If, Body: body})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	if format >= 4 && len(b) > packFrom {
		return pack(name, b)
	}
	if len(b) > MaxEntry {
		return nil, fmt.Errorf("%w %s: %d bytes in one change, at most %d; change fewer objects at a time", ErrInvalid, name, len(b), MaxEntry)
	}
	return b, nil
}

// in returns e without what a format lacks and e can do without. The error is ErrFormat if that is not all.
func (e Entry) in(format int) (Entry, error) {
	if format < 2 {
		e.ID = ""
		if r, ok := e.Command.(reducer); ok {
			e.Command = r.reduced()
		}
		if len(e.If) > 0 {
			return Entry{}, tooNew(e.Command.Kind()+" on conditions", 2, format)
		}
	}
	for _, c := range e.If {
		if c.since() > format {
			return Entry{}, tooNew(e.Command.Kind()+" on the condition "+c.String(), c.since(), format)
		}
	}
	if need := formatOf(e.Command); need > format {
		return Entry{}, tooNew(e.Command.Kind(), need, format)
	}
	return e, nil
}

// check validates what surrounds the command.
func (e Entry) check() error {
	if err := checkText("message", e.Why, 1024); err != nil {
		return err
	}
	return e.checkRequest()
}

// checkRequest validates what came with format 2.
func (e Entry) checkRequest() error {
	if e.ID != "" {
		if err := checkID("request", e.ID); err != nil {
			return err
		}
	}
	if len(e.If) > MaxConditions {
		return fmt.Errorf("%w change: %d conditions, at most %d", ErrInvalid, len(e.If), MaxConditions)
	}
	for _, c := range e.If {
		if err := c.check(); err != nil {
			return err
		}
	}
	return nil
}

// checkID refuses ids that are empty, long, or need quoting anywhere.
func checkID(what, s string) error {
	if s == "" || len(s) > MaxID {
		return fmt.Errorf("%w %s id %.80q: want 1 to %d characters", ErrInvalid, what, s, MaxID)
	}
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return fmt.Errorf("%w %s id %q: %q at position %d; want letters, digits, - and _", ErrInvalid, what, s, r, i+1)
		}
	}
	return nil
}

// DecodeEntry reads what EncodeEntry wrote, as a release does whose newest format is that one: a program passes Format,
// and a test that plays an older release less. Its error wraps ErrUndecodable.
func DecodeEntry(b []byte, format int) (Entry, error) {
	var w wireEntry
	b, packed, err := unpack(b)
	if err == nil {
		err = decodeStrict(b, &w)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	k, ok := kinds[w.Kind]
	if !ok || k.since > format {
		return Entry{}, fmt.Errorf("%w: kind %q; this controller is too old for its cluster", ErrUndecodable, w.Kind)
	}
	c := k.make()
	if err := decodeStrict(w.Body, c); err != nil {
		return Entry{}, fmt.Errorf("%w: %s: %w", ErrUndecodable, w.Kind, err)
	}
	need := formatOf(c)
	if w.ID != "" {
		need = max(need, 2)
	}
	for _, c := range w.If {
		need = max(need, c.since())
	}
	if packed {
		need = max(need, 4)
	}
	if need > format {
		return Entry{}, fmt.Errorf("%w: %s of format %d, want at most %d; this controller is too old for its cluster", ErrUndecodable, w.Kind, need, format)
	}
	e := Entry{Command: c, ID: w.ID, If: w.If, At: w.At, Who: w.Who, Why: w.Why}
	if err := e.checkRequest(); err != nil { // what a snapshot remembers must be readable for ever
		return Entry{}, fmt.Errorf("%w: %s: %w", ErrUndecodable, w.Kind, err)
	}
	return e, nil
}

// decodeStrict refuses fields it does not know: a field that this release would drop is a change it would lose.
func decodeStrict(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(to)
}
