package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	library "go.yaml.in/yaml/v4"

	"github.com/samara-hpc/samara/fleet"
)

// site returns a configuration of nodes as sites have them.
func site(nodes int) Documents {
	yes := true
	d := Documents{Profiles: []fleet.Profile{{Name: "default", Settings: fleet.Settings{
		KernelArgs:     []string{"quiet", "console=ttyS0,115200"},
		SystemOverlays: []string{"wwinit", "hosts", "hostname"},
		Resources:      map[string]fleet.Resource{"fstab": `[{"file":"/home","mntops":"defaults,nofail","spec":"head:/home"}]`},
	}}}}
	addresses, _ := Count(netip.MustParseAddr("10.1.0.1"), nodes, netip.Prefix{})
	for i, a := range addresses {
		d.Nodes = append(d.Nodes, fleet.Node{
			Name: fmt.Sprintf("n%05d", i), Comment: "rack " + fmt.Sprint(i/40), Profiles: []string{"default", "compute"},
			Settings: fleet.Settings{
				Interfaces: []fleet.Interface{
					{Name: "default", Device: "eno1", MAC: fleet.MAC{0x52, 0x54, 0, byte(i >> 16), byte(i >> 8), byte(i)}, IP: a, Netmask: 16, OnBoot: &yes},
					{Name: "ib", Type: "infiniband", Device: "ib0", MTU: 2044, Tags: map[string]string{"DNS1": "10.1.0.1"}},
				},
				BMC:  fleet.BMC{Address: a, User: "admin"},
				Tags: map[string]string{"site": "north"}, Rack: fmt.Sprintf("r%03d", i/40),
			},
		})
	}
	return d
}

func encoded(tb testing.TB, d Documents) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := Encode(&b, d); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// BenchmarkParse reads a site of 10,000 nodes, beside the library, which knows neither places nor fields.
func BenchmarkParse(b *testing.B) {
	text := encoded(b, site(10_000))
	b.Run("documents", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(File{"site.yaml", text}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			var v map[string]any
			if err := library.Load(text, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	d := site(10_000)
	b.SetBytes(int64(len(encoded(b, d))))
	b.ReportAllocs()
	for b.Loop() {
		encoded(b, d)
	}
}

// BenchmarkParseLittle reads one node: what remains is the making of the schema.
func BenchmarkParseLittle(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(File{"f", []byte("nodes: {n1: {rack: r1}}")}); err != nil {
			b.Fatal(err)
		}
	}
}
