package origin

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestOnlyShownPiecesAreServed(t *testing.T) {
	o := open(t, even(8, 128*kib))
	join(o, 0, 1, 2)
	o.Do(nil)
	first, second := Block{0, 0, 64 * kib}, Block{0, 64 * kib, 64 * kib}
	for _, b := range []Block{first, second, {1, 0, 64 * kib}} {
		if err := o.Request(0, 1, b); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := kinds(o), "reject 1:1+0, send 1:0+0, send 1:0+65536"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestBlockIsServedOnceMore(t *testing.T) {
	o := open(t, even(8, 64*kib))
	join(o, 0, 1)
	o.Do(nil)
	b := Block{0, 0, 64 * kib}
	ask := func() string {
		t.Helper()
		if err := o.Request(0, 1, b); err != nil {
			t.Fatal(err)
		}
		return kinds(o)
	}
	if got := ask(); got != "send 1:0+0" {
		t.Fatal(got)
	}
	if got := ask(); got != "" {
		t.Fatalf("a block that waits already: %q", got)
	}
	o.Sent(0, 1, b)
	o.Do(nil)
	if got := ask(); got != "send 1:0+0" {
		t.Fatalf("the second time: %q", got)
	}
	o.Sent(0, 1, b)
	if got := ask(); got != "reject 1:0+0" {
		t.Fatalf("the third time: %q", got)
	}
	if s := o.Stats(); s.Sent != 128*kib || s.Unsent != 7 {
		t.Fatalf("%+v", s)
	}
}

func TestCancelledBlockIsRejected(t *testing.T) {
	o := open(t, even(8, 64*kib))
	join(o, 0, 1)
	o.Do(nil)
	b := Block{0, 0, 64 * kib}
	if err := o.Request(0, 1, b); err != nil {
		t.Fatal(err)
	}
	o.Do(nil)
	o.Cancel(0, 1, b, true)
	o.Cancel(0, 1, b, true)
	if got := kinds(o); got != "reject 1:0+0" {
		t.Fatal(got)
	}
}

func TestPieceThatNobodyFetchesGoesToAnother(t *testing.T) {
	o := open(t, even(2, 64*kib))
	join(o, 0, 1, 2)
	if got := revealed(o); got != "1:0 2:1" {
		t.Fatal(got)
	}
	fetch(t, o, 0, 2, 1)
	if got := idle(o, 0, starvation-time.Second); got != "" {
		t.Fatalf("too early: %s", got)
	}
	if got := idle(o, 0, starvation+time.Second); got != "2:0" {
		t.Fatalf("after the wait %q, want it shown to the other", got)
	}
	if err := o.Request(11*time.Second, 1, Block{0, 0, 64 * kib}); err != nil {
		t.Fatal(err)
	}
	if got := kinds(o); got != "reject 1:0+0" {
		t.Fatalf("the first asks too late: %s", got)
	}
	o.Leave(12*time.Second, 2)
	if err := o.Request(12*time.Second, 1, Block{0, 0, 64 * kib}); err != nil {
		t.Fatal(err)
	}
	if got := kinds(o); !strings.HasPrefix(got, "send 1:0+0") {
		t.Fatalf("nobody else has it now: %s", got)
	}
	audit(t, o)
}

func TestWithdrawnPieceIsNeitherShownNorSent(t *testing.T) {
	o := open(t, even(4, 64*kib))
	join(o, 0, 1)
	o.Do(nil)
	if err := o.Request(0, 1, Block{0, 0, 64 * kib}); err != nil {
		t.Fatal(err)
	}
	o.Do(nil)
	o.Withdraw(0, 0)
	o.Withdraw(0, 0)
	o.Withdraw(0, -1)
	o.Withdraw(0, 4)
	o.Withdraw(0, 2)
	if got, want := kinds(o), "reject 1:0+0, reveal 1:1+0"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if err := o.Request(0, 1, Block{0, 0, 64 * kib}); err != nil {
		t.Fatal(err)
	}
	if got := kinds(o); got != "reject 1:0+0" {
		t.Fatal(got)
	}
	fetch(t, o, 0, 1, 1)
	fetch(t, o, 0, 1, 3)
	o.Do(nil)
	if got := idle(o, 0, 10*starvation); got != "" {
		t.Fatalf("later it is shown %q", got)
	}
	audit(t, o)
}

func TestNonsenseIsAViolation(t *testing.T) {
	for name, do := range map[string]func(o *Origin) error{
		"have below":         func(o *Origin) error { return o.Have(0, 1, -1) },
		"have beyond":        func(o *Origin) error { return o.Have(0, 1, 9) },
		"short bitfield":     func(o *Origin) error { return o.Bitfield(0, 1, make([]byte, 1)) },
		"long bitfield":      func(o *Origin) error { return o.Bitfield(0, 1, make([]byte, 3)) },
		"no bitfield":        func(o *Origin) error { return o.Bitfield(0, 1, nil) },
		"spare bit":          func(o *Origin) error { return o.Bitfield(0, 1, []byte{0, 0x40}) },
		"request below":      func(o *Origin) error { return o.Request(0, 1, Block{-1, 0, 1}) },
		"request beyond":     func(o *Origin) error { return o.Request(0, 1, Block{9, 0, 1}) },
		"negative begin":     func(o *Origin) error { return o.Request(0, 1, Block{0, -1, 1}) },
		"begin beyond":       func(o *Origin) error { return o.Request(0, 1, Block{0, 256 * kib, 1}) },
		"begin overflows":    func(o *Origin) error { return o.Request(0, 1, Block{0, math.MaxInt64, MaxBlock}) },
		"end beyond":         func(o *Origin) error { return o.Request(0, 1, Block{0, 256*kib - 1, 2}) },
		"end beyond shorter": func(o *Origin) error { return o.Request(0, 1, Block{8, 0, 2}) },
		"empty":              func(o *Origin) error { return o.Request(0, 1, Block{0, 0, 0}) },
		"negative length":    func(o *Origin) error { return o.Request(0, 1, Block{0, 0, -1}) },
		"too long":           func(o *Origin) error { return o.Request(0, 1, Block{0, 0, MaxBlock + 1}) },
		"too many at once":   func(o *Origin) error { return flood(o, 0) },
		"never shown":        func(o *Origin) error { return flood(o, 5) },
	} {
		o := open(t, Config{Pieces: 9, PieceLength: 256 * kib, Size: 8*256*kib + 1})
		join(o, 0, 1)
		o.Do(nil)
		if err := do(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
		audit(t, o)
	}
}

// flood has peer 1 ask for one block of a piece after another.
func flood(o *Origin, piece int) error {
	for at := int64(0); at <= 2*maxRefused; at++ {
		if err := o.Request(0, 1, Block{piece, at, 1}); err != nil {
			return err
		}
	}
	return nil
}

func TestStrangersAreIgnored(t *testing.T) {
	o := open(t, even(4, 64*kib))
	join(o, 0, 1)
	o.Do(nil)
	o.Leave(0, 1)
	for _, p := range []Peer{1, 2} {
		o.Leave(0, p)
		o.HaveAll(0, p)
		o.HaveNone(0, p)
		o.Cancel(0, p, Block{}, true)
		o.Sent(0, p, Block{0, 0, 1})
		if o.Have(0, p, 99) != nil || o.Bitfield(0, p, nil) != nil || o.Request(0, p, Block{-1, 0, 0}) != nil {
			t.Fatal("an error about somebody who is not there")
		}
	}
	if got := o.Do(nil); len(got) != 0 || o.Stats().Sent != 0 {
		t.Fatalf("wants %v", got)
	}
	audit(t, o)
}
