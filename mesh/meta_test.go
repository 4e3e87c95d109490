package mesh

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/samara-hpc/samara/fleet"
)

func drawMeta(t *rapid.T) Meta {
	m := Meta{
		Role:   rapid.SampledFrom([]Role{RoleController, RoleNode}).Draw(t, "role"),
		Swarm:  rapid.Uint16().Draw(t, "swarm"),
		Rack:   rapid.StringN(0, -1, MaxRack).Draw(t, "rack"),
		BootID: rapid.StringN(0, -1, MaxBootID).Draw(t, "boot"),
	}
	for range rapid.IntRange(0, MaxHoldings).Draw(t, "holdings") {
		h := Holding{Complete: rapid.Bool().Draw(t, "complete")}
		copy(h.Blob[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "blob"))
		m.Holdings = append(m.Holdings, h)
	}
	return m
}

func TestMetaSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMeta(t)
		b, err := m.encode()
		if err != nil || len(b) > maxMeta {
			t.Fatalf("%+v: %d bytes, error %v", m, len(b), err)
		}
		got, err := parseMeta(b)
		if err != nil || !got.Equal(m) {
			t.Errorf("got %+v, want %+v (error %v)", got, m, err)
		}
		later := append(bytes.Clone(b), rapid.SliceOf(rapid.Byte()).Draw(t, "more")...)
		if got, err := parseMeta(later); err != nil || !got.Equal(m) {
			t.Errorf("with fields of a later version: got %+v (error %v)", got, err)
		}
		if got, err := parseMeta(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); err == nil {
			t.Errorf("cut off: got %+v, want an error", got)
		}
	})
}

func TestMetaHasBounds(t *testing.T) {
	for name, m := range map[string]Meta{
		"no role":       {},
		"a long rack":   {Role: RoleNode, Rack: strings.Repeat("r", MaxRack+1)},
		"a long boot":   {Role: RoleNode, BootID: strings.Repeat("b", MaxBootID+1)},
		"many holdings": {Role: RoleNode, Holdings: make([]Holding, MaxHoldings+1)},
	} {
		if _, err := m.encode(); !errors.Is(err, errMeta) {
			t.Errorf("%s: got error %v, want errMeta", name, err)
		}
	}
}

func TestMetaTellsWhatIsHeld(t *testing.T) {
	a, b := fleet.Digest{1}, fleet.Digest{2}
	m := Meta{Holdings: []Holding{{PrefixOf(a), true}, {PrefixOf(b), false}}}
	for d, want := range map[fleet.Digest][2]bool{a: {true, true}, b: {true, false}, {3}: {false, false}} {
		if some, all := m.Holds(d); some != want[0] || all != want[1] {
			t.Errorf("%s: got some %v, all %v, want %v", d.Short(), some, all, want)
		}
	}
}

func FuzzParseMeta(f *testing.F) {
	b, err := Meta{Role: RoleNode, Swarm: 7602, Rack: "r1", BootID: "0123456789abcdef", Holdings: make([]Holding, 2)}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1, 2, 0, 0, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatalf("%x is read as %+v, which cannot be written: %v", b, m, err)
		}
		if got, err := parseMeta(again); err != nil || !got.Equal(m) {
			t.Errorf("%+v comes back as %+v (error %v)", m, got, err)
		}
	})
}
