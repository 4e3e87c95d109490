package bootagent

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

func openClient(t *testing.T) *seeder.Client {
	t.Helper()
	c, err := seeder.Open(seeder.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// offering returns what gives an image away as a controller does, until the test ends.
func offering(t *testing.T, m fleet.Manifest, content string) *seeder.Server {
	t.Helper()
	s, err := seeder.OpenServer(seeder.ServerConfig{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		s.Close()
		<-ran
	})
	if err := s.Offer(m.Torrent, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return s
}

// From a swarm to a proven file, with the real seeder at both ends.
func TestFetchFromAnOrigin(t *testing.T) {
	content := strings.Repeat("samara ", 200_000)
	m := manifestFor(t, content)
	origin := offering(t, m, content)
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	a := newAgent(quietLog(), place{})
	a.manifest, a.session = m, newSession(nil, "")
	a.image.client, a.image.file = openClient(t), f
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := a.image.begin(m)
	if err != nil {
		t.Fatal(err)
	}
	d.AddPeers([]netip.AddrPort{origin.Addr()})
	if _, err := a.take(ctx, d); err != nil {
		t.Fatal(err)
	}
	if !a.timeline.has(fleet.PhaseFirstByte) {
		t.Error("the first byte was not noted")
	}
	if r := swarmReport(m.Root.Digest, d.Progress()); !r.Complete || r.Have != m.Root.Size || r.FromPeers != m.Root.Size {
		t.Errorf("reported %+v", r)
	}
	a.image.forget(d)
	if _, d := a.image.swarm(); d != nil {
		t.Error("a forgotten download is still reported")
	}
	if _, err := a.image.begin(m); err != nil {
		t.Errorf("it cannot be begun again: %v", err)
	}
}

func TestProofRefusesWrongBytes(t *testing.T) {
	content := strings.Repeat("samara ", 300_000)
	root := manifestFor(t, content).Root
	for name, tc := range map[string]struct {
		content string
		good    bool
	}{
		"right":                           {content, true},
		"one bit wrong":                   {content[:1_500_000] + "S" + content[1_500_001:], false},
		"too short":                       {content[1:], false},
		"nothing":                         {"", false},
		"longer, ignored beyond the size": {content + "x", true},
	} {
		t.Run(name, func(t *testing.T) {
			err := prove(strings.NewReader(tc.content), root)
			if (err == nil) != tc.good {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMeter(t *testing.T) {
	begin := time.Now()
	m := meter{lastMove: begin, lastLine: begin}
	p := seeder.Progress{Total: 400 << 20}
	for _, tc := range []struct {
		after time.Duration
		have  int64
		line  string // part of it; "" for none
		held  bool
	}{
		{time.Second, 100 << 20, "", false},
		{4 * time.Second, 200 << 20, "50 % of 400 MiB, from controllers 0 KiB, from nodes 0 KiB, 50 MiB/s, 4s left", false},
		{8 * time.Second, 200 << 20, "50 %", false},
		{20 * time.Second, 200 << 20, "nothing for 16s", true},
		{24 * time.Second, 300 << 20, "25 MiB/s", false},
	} {
		p.Have = tc.have
		line, held := m.observe(p, begin.Add(tc.after))
		if held != tc.held || (line == "") != (tc.line == "") || !strings.Contains(line, tc.line) {
			t.Errorf("after %s: %q, held up %v, want %q, %v", tc.after, line, held, tc.line, tc.held)
		}
	}
}

func TestCheckMemory(t *testing.T) {
	if err := checkMemory(1 << 20); err != nil {
		t.Error(err)
	}
	if err := checkMemory(1 << 60); err == nil || !strings.Contains(err.Error(), "more RAM") {
		t.Errorf("an image of an exbibyte: %v", err)
	}
}
