package swarmlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/samara-hpc/samara/test/lab"
)

// testPatience is for what takes seconds.
const testPatience = 2 * time.Minute

// testTools returns the tools of a test; SAMARA_BINARY names another samara than bin/samara.
func testTools(t *testing.T, prefix string) Tools {
	t.Helper()
	if err := lab.Need(); err != nil {
		t.Fatalf("%v (test/prepare test does it)", err)
	}
	binary := os.Getenv("SAMARA_BINARY")
	if binary == "" {
		binary = "../../bin/samara"
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%v: make build makes it; SAMARA_BINARY names another", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Tools{Samara: binary, Peer: self, Prefix: prefix}
}

// A hall is a site of a test, on which things happen that no plan foresees.
type hall struct {
	*Site
	t     *testing.T
	ctx   context.Context
	tools Tools
	crowd *Crowd
}

// newHall makes a site that goes with the test.
func newHall(t *testing.T, prefix string, l Layout) *hall {
	t.Helper()
	h := &hall{t: t, tools: testTools(t, prefix)}
	site, err := OpenSite(prefix, l)
	if err != nil {
		t.Fatal(err)
	}
	h.Site, h.crowd = site, NewCrowd(site, h.tools.Peer)
	t.Cleanup(func() {
		h.crowd.Close()
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	t.Cleanup(cancel)
	h.ctx = ctx
	return h
}

// form starts a cluster on heads, with the image and with nodes.
func (h *hall) form(name string, heads []*lab.Host, nodes ...int) *Samara {
	h.t.Helper()
	m, err := FormSamara(h.ctx, h.Site, h.tools.Samara, name, heads...)
	h.must(err)
	h.must(m.Import(h.ctx, testImage, seed))
	h.must(m.AddNodes(h.ctx, nodes...))
	return m
}

// start has nodes stand ready.
func (h *hall) start(m *Samara, nodes ...int) []*Peer {
	h.t.Helper()
	var list []*Peer
	for _, n := range nodes {
		c, err := m.Config(h.ctx, n)
		h.must(err)
		p, err := h.crowd.Start(h.Nodes[n], c)
		h.must(err)
		list = append(list, p)
	}
	h.must(h.crowd.WaitReady(h.ctx))
	return list
}

// begin lets nodes begin.
func (h *hall) begin(peers ...*Peer) {
	h.t.Helper()
	for _, p := range peers {
		h.must(p.Begin())
	}
}

// proved waits until nodes have the image.
func (h *hall) proved(peers ...*Peer) {
	h.t.Helper()
	h.must(h.crowd.WaitProved(h.ctx, peers))
}

func (h *hall) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// share writes bytes as a part of the image.
func share(bytes int64) string { return fmt.Sprintf("%.2f images", float64(bytes)/testImage) }
