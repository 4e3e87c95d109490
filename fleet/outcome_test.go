package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestARepeatedEntryIsAppliedOnce(t *testing.T) {
	s := start2(t)
	add := Entry{Command: AddImageVersion{Image: "debian", Version: testVersion(), Holders: []string{"head1", "head2"}}, ID: "import-1"}
	first := s.Revision() + 1
	s, err := s.Apply(add, first)
	if err != nil {
		t.Fatal(err)
	}
	once := s.Hash()
	again, err := s.Apply(add, s.Revision()+1)
	if err != nil {
		t.Errorf("the repetition: %v", err)
	}
	if again.Revision() != first+1 || again.Advance(first).Hash() != once {
		t.Error("the repetition changed more than the revision")
	}
	if o, ok := again.Outcome("import-1"); !ok || o.Revision != first || o.Err() != nil {
		t.Errorf("outcome %+v, %v; want revision %d", o, ok, first)
	}
	if img, _ := again.Image("debian"); len(img.Versions) != 2 {
		t.Errorf("%d versions, want 2", len(img.Versions))
	}
	if _, ok := s.Outcome(""); ok {
		t.Error("entries without an id have an outcome")
	}
}

func TestARepeatedRefusalIsTheSame(t *testing.T) {
	s := start2(t)
	for what, c := range map[string]struct {
		do   Entry
		want error
	}{
		"invalid":   {Entry{Command: AddNodes{}}, ErrInvalid},
		"not found": {Entry{Command: DeleteNodes{[]string{"n9"}}}, ErrNotFound},
		"exists":    {Entry{Command: AddNodes{[]Node{node("n1")}}}, ErrExists},
		"in use":    {Entry{Command: DeleteNetwork{"boot"}}, ErrInUse},
		"conflict":  {Entry{Command: DeleteNodes{[]string{"n1"}}, If: []Condition{{"node", "n1", 1}}}, ErrConflict},
		"join":      {Entry{Command: JoinController{Token: "none"}}, ErrJoin},
	} {
		t.Run(what, func(t *testing.T) {
			e := c.do
			e.ID = "r-1"
			once, first := s.Apply(e, s.Revision()+1)
			var b bytes.Buffer
			if _, err := once.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			read, err := ReadState(&b)
			if err != nil {
				t.Fatal(err)
			}
			// Accepted by now, if it were another entry.
			now, err := read.Apply(Entry{Command: AddNodes{[]Node{node("n9")}}}, read.Revision()+1)
			if err != nil {
				t.Fatal(err)
			}
			_, again := now.Apply(e, now.Revision()+1)
			if !errors.Is(again, c.want) || !IsRefusal(again) || again.Error() != first.Error() {
				t.Errorf("first %v, then %v; want one refusal, which is %v", first, again, c.want)
			}
		})
	}
}

func TestEveryReasonHasOneName(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range reasons {
		if seen[r.name] || reasonOf(fmt.Errorf("why: %w", r.err)) != r.name || !errors.Is(sentinel(r.name), r.err) {
			t.Errorf("reason %q of %v does not lead there and back", r.name, r.err)
		}
		seen[r.name] = true
	}
	if o := newOutcome("a", 1, errors.New("a refusal without a reason")); !IsRefusal(o.Err()) {
		t.Errorf("an error that wraps no reason is remembered as %v", o.Err())
	}
}

func TestALongRefusalIsCut(t *testing.T) {
	o := newOutcome("a", 1, fmt.Errorf("%w %s\xff", ErrInvalid, strings.Repeat("é", 1000)))
	if len(o.Refusal) > maxRefusal || !utf8.ValidString(o.Refusal) || !strings.HasSuffix(o.Refusal, "é…") {
		t.Errorf("%d bytes: %q", len(o.Refusal), o.Refusal)
	}
}

// TestTheLatestOutcomesAreRemembered holds the queue and the trie against a map.
func TestTheLatestOutcomesAreRemembered(t *testing.T) {
	var q, old outcomes
	id := func(i int) string { return fmt.Sprintf("request-%d", i) }
	const total = 3*MaxOutcomes + 100
	for i := range total {
		if i == MaxOutcomes {
			old = q
		}
		q = q.add(&Outcome{ID: id(i), Revision: Revision(i)})
	}
	for i := range total {
		o := q.get(id(i))
		if kept := i >= total-MaxOutcomes; kept != (o != nil) || (kept && o.Revision != Revision(i)) {
			t.Fatalf("outcome %d of %d: %+v", i, total, o)
		}
		if kept := i < MaxOutcomes; kept != (old.get(id(i)) != nil) {
			t.Fatalf("an earlier state changed: outcome %d is remembered: %v", i, !kept)
		}
	}
	next := Revision(total - MaxOutcomes)
	for o := range q.all() {
		if o.Revision != next {
			t.Fatalf("revision %d, want %d: not from the oldest on", o.Revision, next)
		}
		next++
	}
	if next != total || q.count != MaxOutcomes {
		t.Errorf("%d outcomes to revision %d, want %d to %d", q.count, next, MaxOutcomes, total)
	}
	var t1 *trie
	for i := range 100 {
		t1 = t1.put(&Outcome{ID: id(i)}, keyOf(id(i)), 0)
	}
	for i := range 100 {
		t1 = t1.drop(keyOf(id(i)), 0)
	}
	if t1 != nil {
		t.Error("an emptied trie is not empty")
	}
}
