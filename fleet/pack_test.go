package fleet

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// manyNodes returns nodes such as a site has: names and addresses that count up, and MAC addresses without order.
func manyNodes(count int) []Node {
	random := rand.New(rand.NewPCG(1, 2))
	nodes := make([]Node, count)
	for i := range nodes {
		m := MAC{0x52, 0x54, byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())}
		nodes[i] = Node{Name: fmt.Sprintf("n%05d", i), Settings: Settings{Rack: fmt.Sprintf("r%03d", i/48), Interfaces: []Interface{{
			Name: "default", MAC: m, IP: netip.AddrFrom4([4]byte{10, 1, byte(1 + i>>8), byte(i)})}}}}
	}
	return nodes
}

func putNodes(nodes []Node) Edit {
	var e Edit
	for i := range nodes {
		e.Puts = append(e.Puts, Object{Node: &nodes[i]})
	}
	return e
}

func TestAChangeOf10000NodesIsOneEntry(t *testing.T) {
	nodes := manyNodes(10_000)
	for i := range nodes {
		nodes[i].Profiles = []string{"default", "gpu"}
		nodes[i].BMC.Address = netip.AddrFrom4([4]byte{10, 9, byte(1 + i>>8), byte(i)})
		nodes[i].AssetKey = fmt.Sprintf("%08x", i*2654435761)
	}
	e := Entry{Command: putNodes(nodes), At: noon, Who: "root"}
	b, err := EncodeEntry(e, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(b))
	got, err := DecodeEntry(b, Format)
	if err != nil {
		t.Fatal(err)
	}
	if want := encoded(t, e.Command); encoded(t, got.Command) != want {
		t.Error("it is not read as it was written")
	}
	if _, err := EncodeEntry(Entry{Command: AddNodes{manyNodes(10_000)}}, 3); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "fewer objects") {
		t.Errorf("in format 3: %v, want ErrInvalid", err)
	}
}

func TestPackedEntriesAreBounded(t *testing.T) {
	pack := func(b []byte, more string) []byte {
		var out bytes.Buffer
		out.WriteByte(packedByte)
		w, err := flate.NewWriter(&out, flate.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return append(out.Bytes(), more...)
	}
	small := `{"kind":"node.delete","at":"2026-11-23T12:00:00Z","who":"","body":{"names":["n1"]}}`
	if _, err := DecodeEntry(pack([]byte(small), ""), Format); err != nil {
		t.Errorf("a small entry that is packed: %v", err)
	}
	for what, b := range map[string][]byte{
		"no bytes":          {packedByte},
		"torn":              pack([]byte(small), "")[:20],
		"bytes behind it":   pack([]byte(small), "x"),
		"packed twice":      pack(pack([]byte(small), ""), ""),
		"a bomb":            pack(append(make([]byte, MaxUnpacked), small...), ""),
		"not packed at all": append([]byte{packedByte}, small...),
	} {
		if _, err := DecodeEntry(b, Format); !errors.Is(err, ErrUndecodable) {
			t.Errorf("%s: %v, want ErrUndecodable", what, err)
		}
	}
	letters := rand.New(rand.NewPCG(1, 2))
	var words []string
	for range 100_000 {
		words = append(words, fmt.Sprintf("n%016x", letters.Uint64()))
	}
	if _, err := EncodeEntry(Entry{Command: DeleteNodes{words}}, 4); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "packed, at most") {
		t.Errorf("one that does not pack well: %v, want ErrInvalid", err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range []Entry{{Command: putNodes(manyNodes(3))}, {Command: putNodes(manyNodes(1000))}, {Command: SetFormat{4}, ID: "a", If: []Condition{{"state", "", 3}}}} {
		b, err := EncodeEntry(e, Format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b, Format)
		if err != nil {
			if !errors.Is(err, ErrUndecodable) {
				t.Fatalf("%v, want ErrUndecodable", err)
			}
			return
		}
		_, _ = State{}.Apply(e, 1)
		_, _ = start4(t).Apply(e, 100)
	})
}
