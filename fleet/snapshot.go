package fleet

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// snapshotHead is the first line of every snapshot. A change of what follows needs another format and a reader for
// the former ones.
type snapshotHead struct {
	Samara string `json:"samara"` // what it is: state
	Format int    `json:"format"` // State.Format of what follows
}

// ErrSnapshot means that a snapshot is torn, corrupt, or of a newer release.
var ErrSnapshot = errors.New("unreadable snapshot")

// record is one line of a snapshot; exactly one field is set, and the last line has End.
type record struct {
	Cluster *Cluster     `json:"cluster,omitempty"`
	Network *Network     `json:"network,omitempty"`
	Image   *Image       `json:"image,omitempty"`
	Node    *Node        `json:"node,omitempty"`
	Profile *Profile     `json:"profile,omitempty"` // this, History and Past: since format 4
	Token   *JoinToken   `json:"token,omitempty"`   // this and Outcome: since format 2
	User    *User        `json:"user,omitempty"`    // since format 4
	Outcome *Outcome     `json:"outcome,omitempty"` // from the oldest on
	History *historyHead `json:"history,omitempty"` // before the first Past
	Past    *Record      `json:"past,omitempty"`    // from the oldest on
	End     *snapshotEnd `json:"end,omitempty"`
}

type historyHead struct {
	Since Revision `json:"since"`
}

type snapshotEnd struct {
	Revision Revision `json:"revision"`
	Records  int      `json:"records"`
}

// WriteTo writes s as lines of JSON: the format, one object a line, and an end line with the revision and the number
// of objects. Equal states give equal bytes. It implements io.WriterTo.
func (s State) WriteTo(w io.Writer) (int64, error) {
	count := &countingWriter{w: w}
	b := bufio.NewWriter(count)
	enc := json.NewEncoder(b)
	records := 0
	put := func(r record) error {
		records++
		return enc.Encode(r)
	}
	write := func() error {
		if err := enc.Encode(snapshotHead{"state", s.Format()}); err != nil {
			return err
		}
		if s.cluster != nil {
			if err := put(record{Cluster: s.cluster}); err != nil {
				return err
			}
		}
		for n := range s.Networks() {
			if err := put(record{Network: &n}); err != nil {
				return err
			}
		}
		for i := range s.Images() {
			if err := put(record{Image: &i}); err != nil {
				return err
			}
		}
		for p := range s.profiles.all() {
			if err := put(record{Profile: p}); err != nil {
				return err
			}
		}
		for n := range s.nodes.all() {
			if err := put(record{Node: n}); err != nil {
				return err
			}
		}
		for t := range s.tokens.all() {
			if err := put(record{Token: &t}); err != nil {
				return err
			}
		}
		for u := range s.people.all() {
			if err := put(record{User: u}); err != nil {
				return err
			}
		}
		for o := range s.outcomes.all() {
			if err := put(record{Outcome: o}); err != nil {
				return err
			}
		}
		if s.history.since != 0 {
			if err := put(record{History: &historyHead{s.history.since}}); err != nil {
				return err
			}
		}
		for p := range s.history.records.all() {
			if err := put(record{Past: &p.Record}); err != nil {
				return err
			}
		}
		if err := enc.Encode(record{End: &snapshotEnd{s.rev, records}}); err != nil {
			return err
		}
		return b.Flush()
	}
	if err := write(); err != nil {
		return count.n, fmt.Errorf("write snapshot: %w", err)
	}
	return count.n, nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// ReadState reads what WriteTo wrote. Its error wraps ErrSnapshot, or is the reader's own.
func ReadState(r io.Reader) (State, error) {
	in := bufio.NewReader(r)
	head, err := in.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return State{}, fmt.Errorf("read snapshot: %w", err)
	}
	format, err := parseSnapshotHead(head)
	if err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	var s State
	dec := json.NewDecoder(in)
	dec.DisallowUnknownFields()
	for records := 0; ; records++ {
		var rec record
		if err := dec.Decode(&rec); err != nil {
			return State{}, fmt.Errorf("%w: after %d records: %w", ErrSnapshot, records, err)
		}
		if rec.End != nil {
			if rec.End.Records != records {
				return State{}, fmt.Errorf("%w: %d records, its end says %d", ErrSnapshot, records, rec.End.Records)
			}
			if s.Format() != format {
				return State{}, fmt.Errorf("%w: its first line says format %d, its cluster %d", ErrSnapshot, format, s.Format())
			}
			s.rev = rec.End.Revision
			return s, nil
		}
		if s, err = s.load(rec); err != nil {
			return State{}, fmt.Errorf("%w: record %d: %w", ErrSnapshot, records+1, err)
		}
	}
}

// parseSnapshotHead returns the format in the first line of a snapshot.
func parseSnapshotHead(line []byte) (int, error) {
	var head snapshotHead
	err := json.Unmarshal(line, &head)
	switch {
	case err != nil || head.Samara != "state" || head.Format < 1 || !bytes.HasSuffix(line, []byte("\n")):
		return 0, fmt.Errorf("its first line is %.60q, which is not that of a snapshot", line)
	case head.Format > Format:
		return 0, fmt.Errorf("it has format %d, and this release of samara reads up to %d; install the release that wrote it", head.Format, Format)
	}
	return head.Format, nil
}

// load puts one record of a snapshot into s, and rebuilds the indexes that snapshots leave out.
func (s State) load(rec record) (State, error) {
	switch {
	case (rec.Token != nil || rec.Outcome != nil) && s.Format() < 2:
		return s, errors.New("of a kind that format 1 lacks")
	case (rec.Profile != nil || rec.User != nil || rec.History != nil || rec.Past != nil || rec.Node != nil && rec.Node.needs() > 3) && s.Format() < 4:
		return s, errors.New("of a kind, or with settings, that format 3 lacks")
	case rec.Cluster != nil && rec.Cluster.Seeding != (Seeding{}) && rec.Cluster.Format < 3:
		return s, errors.New("with a seeding, which format 2 lacks")
	case rec.Cluster != nil:
		s.cluster = rec.Cluster
	case rec.Network != nil:
		s.networks = s.networks.put([]byte(rec.Network.Name), rec.Network)
	case rec.Image != nil:
		if len(rec.Image.Versions) == 0 {
			return s, fmt.Errorf("image %q without versions", rec.Image.Name)
		}
		s.images = s.images.put([]byte(rec.Image.Name), *rec.Image)
	case rec.Node != nil:
		// Without the checks of a change: a rule that came later must not make an old snapshot unreadable.
		s = s.indexAddresses(*rec.Node).indexUser(*rec.Node).arm(*rec.Node)
		s.nodes = s.nodes.put([]byte(rec.Node.Name), rec.Node)
	case rec.Profile != nil:
		s.profiles = s.profiles.put([]byte(rec.Profile.Name), rec.Profile)
	case rec.History != nil:
		s.history.since = rec.History.Since
	case rec.Past != nil:
		if s.history.since == 0 || rec.Past.Revision <= s.history.last() {
			return s, fmt.Errorf("change %d: out of its place", rec.Past.Revision)
		}
		s.history = s.history.add(newPast(*rec.Past))
	case rec.Token != nil:
		if err := checkID("token", rec.Token.ID); err != nil {
			return s, err
		}
		s.tokens = s.tokens.put([]byte(rec.Token.ID), *rec.Token)
	case rec.User != nil:
		s.people = s.people.put([]byte(rec.User.Name), rec.User)
	case rec.Outcome != nil:
		if err := rec.Outcome.check(); err != nil {
			return s, err
		}
		if s.outcomes.get(rec.Outcome.ID) != nil {
			return s, fmt.Errorf("outcome of %s: twice", rec.Outcome.ID)
		}
		s.outcomes = s.outcomes.add(rec.Outcome)
	default:
		return s, errors.New("empty")
	}
	return s, nil
}

// Hash returns the SHA-256 of s's snapshot. Replicas at one revision have one hash.
func (s State) Hash() Digest {
	h := sha256.New()
	if _, err := s.WriteTo(h); err != nil {
		panic("fleet: a state cannot be encoded: " + err.Error()) // plain structs into a hash: only a broken type can fail
	}
	return Digest(h.Sum(nil))
}
