package controller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
)

// soon is how long a test waits for what takes a fraction of a second on an idle machine.
const soon = 30 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(soon); !ok(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A book is a replicated state that never waits for anybody.
type book struct {
	mu      sync.Mutex
	state   fleet.State
	changed chan struct{}
	refuse  error // of proposals, if not nil
}

func (b *book) State() fleet.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

func (b *book) Propose(_ context.Context, e fleet.Entry) (fleet.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return 0, b.refuse
	}
	next, err := b.state.Apply(e, b.state.Revision()+1)
	b.state = next
	close(b.changed)
	b.changed = make(chan struct{})
	return next.Revision(), err
}

func (b *book) Wait(ctx context.Context, after fleet.Revision) (fleet.State, error) {
	for {
		b.mu.Lock()
		state, changed := b.state, b.changed
		b.mu.Unlock()
		if state.Revision() > after {
			return state, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fleet.State{}, ctx.Err()
		}
	}
}

// A copyOfBook is a book as one controller reads it.
type copyOfBook struct {
	*book
	leads bool
}

func (c copyOfBook) Leading(ctx context.Context) (context.Context, error) {
	if c.leads {
		return ctx, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A head is one controller of a test: its depot, its ends of swarms and what others may do with it.
type head struct {
	fleet.Controller
	*depot
	blobs  *blob.Store
	server *seeder.Server
	swarm  *seeder.Client
	logs   *syncBuffer

	mu    sync.Mutex
	dead  bool                     // to the others
	said  []api.Offer              // to the others, of what it offers
	pulls []api.PullRequest        // that others made
	nodes []netip.AddrPort         // that hold every root
	runs  map[fleet.Digest]bool    // roots that nodes run
	fault func(fleet.Digest) error // of its Blob, if not nil
	lies  map[fleet.Digest][]byte  // what it sends instead of a blob
	stall chan struct{}            // before it ends, nothing is sent of a blob
	gate  chan struct{}            // before it ends, it fetches nothing, if not nil
}

// A syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var errDead = errors.New("connection refused")

// Pull implements blobPeer.
func (h *head) Pull(ctx context.Context, r api.PullRequest, progress func(api.Progress)) error {
	h.mu.Lock()
	h.pulls = append(h.pulls, r)
	dead := h.dead
	h.mu.Unlock()
	if dead {
		return errDead
	}
	if h.gate != nil {
		select {
		case <-h.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return h.puller.Pull(ctx, r, progress)
}

// Blob implements blobPeer.
func (h *head) Blob(ctx context.Context, d fleet.Digest) (io.ReadCloser, int64, error) {
	h.mu.Lock()
	dead, fault := h.dead, h.fault
	h.mu.Unlock()
	if dead {
		return nil, 0, errDead
	}
	if fault != nil {
		if err := fault(d); err != nil {
			return nil, 0, err
		}
	}
	r, size, err := h.puller.OpenBlob(d)
	if lie, ok := h.lies[d]; ok {
		_ = r.Close()
		return io.NopCloser(bytes.NewReader(lie)), size, nil
	}
	if h.stall != nil {
		_ = r.Close()
		return io.NopCloser(stalled{ctx, h.stall}), size, nil
	}
	return r, size, err
}

// A stalled reader sends nothing before a channel is closed or its request ends.
type stalled struct {
	ctx context.Context
	end <-chan struct{}
}

func (s stalled) Read([]byte) (int, error) {
	select {
	case <-s.end:
		return 0, io.ErrUnexpectedEOF
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
}

func (h *head) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// kill makes a controller one that no longer answers others, in no way.
func (h *head) kill() {
	h.set(func() { h.dead = true })
	h.server.Close()
	h.swarm.Close()
}

// A scene is the controllers of one cluster, of which the first leads.
type scene struct {
	*book
	heads []*head
}

// newScene returns n controllers, whose parts do not run yet.
func newScene(t *testing.T, n, format int, tune func(*depotConfig)) *scene {
	t.Helper()
	s := &scene{book: &book{changed: make(chan struct{})}}
	cluster := fleet.Cluster{Name: "c", ID: "id", CA: []byte("ca"), CAKey: []byte("key"), Format: format,
		MeshKey: make([]byte, 32), TokenKey: make([]byte, 32), IDKey: make([]byte, 32)}
	for i := range n {
		h := &head{logs: &syncBuffer{}, runs: map[fleet.Digest]bool{}}
		address := netip.AddrFrom4([4]byte{127, 0, 10, byte(1 + i)})
		h.openSwarm(t, address, (&roster{state: s.State}).isController)
		var err error
		h.blobs, err = blob.Open(filepath.Join(t.TempDir(), "blobs"))
		must(t, err)
		h.Controller = fleet.Controller{ID: string(rune('a' + i)), Address: address,
			Ports: fleet.Ports{Control: 1, Boot: 1, Swarm: h.server.Addr().Port(), Gossip: 1}}
		cluster.Controllers = append(cluster.Controllers, h.Controller)
		s.heads = append(s.heads, h)
	}
	_, err := s.Propose(t.Context(), fleet.Entry{Command: &fleet.InitCluster{Cluster: cluster}})
	must(t, err)
	for i, h := range s.heads {
		c := depotConfig{Self: h.Controller, Blobs: h.blobs, Server: h.server, Swarm: h.swarm, Log: copyOfBook{s.book, i == 0},
			Agent:   func(string) ([]byte, error) { return []byte("agent"), nil },
			Others:  func() []otherController { return s.others(h) },
			Running: func(d fleet.Digest) bool { h.mu.Lock(); defer h.mu.Unlock(); return h.runs[d] },
			Nodes:   func(fleet.Digest) []netip.AddrPort { h.mu.Lock(); defer h.mu.Unlock(); return slices.Clone(h.nodes) },
			Logger:  slog.New(slog.NewTextHandler(h.logs, nil)), ScrubAfter: time.Hour}
		if tune != nil {
			tune(&c)
		}
		h.depot = newDepot(c)
		h.repair.retry = 20 * time.Millisecond
	}
	return s
}

// openSwarm opens a head's ends of swarms, and runs them until the test ends.
func (h *head) openSwarm(t *testing.T, address netip.Addr, isController func(netip.Addr) bool) {
	t.Helper()
	at := netip.AddrPortFrom(address, 0)
	var err error
	h.server, err = seeder.OpenServer(seeder.ServerConfig{Listen: at, Copies: isController})
	must(t, err)
	h.swarm, err = seeder.Open(seeder.Config{Listen: at, DialOnly: true})
	must(t, err)
	h.server.PassOn(h.swarm)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		_ = h.server.Run(ctx) // which kill ends too
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		h.swarm.Close()
	})
}

func (s *scene) others(than *head) []otherController {
	var all []otherController
	for _, h := range s.heads {
		if h != than {
			h.mu.Lock()
			all = append(all, otherController{Controller: h.Controller, Alive: !h.dead, Client: h, Offers: h.said})
			h.mu.Unlock()
		}
	}
	return all
}

// run runs the parts of some controllers until the test ends.
func (s *scene) run(t *testing.T, heads ...*head) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, h := range heads {
		running.Go(func() {
			if err := runAll(ctx, h.parts()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { cancel(); running.Wait() })
}

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = seed
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func (h *head) put(t *testing.T, content []byte) fleet.Blob {
	t.Helper()
	b, err := h.images.write(func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	must(t, err)
	return b
}

// version writes the blobs of an image version with a root of some bytes.
func (h *head) version(t *testing.T, seed byte, size int) fleet.ImageVersion {
	t.Helper()
	root := noise(seed, size)
	info, err := seeder.MakeInfo(bytes.NewReader(root), int64(size))
	must(t, err)
	return fleet.ImageVersion{Root: h.put(t, root), Torrent: h.put(t, info), Kernel: h.put(t, noise(seed+1, 3000)),
		Initramfs: h.put(t, noise(seed+2, 2<<20)), KernelRelease: "6", Arch: "amd64", Source: "/src", Imported: time.Now().UTC()}
}

// publish makes v a version of image "i", as an import does once it has written the blobs.
func (h *head) publish(t *testing.T, v fleet.ImageVersion, progress func(api.Progress)) error {
	t.Helper()
	release := h.images.keeps.hold(digests(v.Blobs()...)...)
	_, err := h.images.publish(t.Context(), api.ImportRequest{Name: "i"}, v, release, progress)
	return err
}

func ignore(api.Progress) {}

// add makes v a version of image "i", whoever holds it.
func (s *scene) add(t *testing.T, v fleet.ImageVersion) {
	t.Helper()
	var all []string
	for _, h := range s.heads {
		all = append(all, h.ID)
	}
	_, err := s.Propose(t.Context(), fleet.Entry{Command: &fleet.AddImageVersion{Image: "i", Version: v, Holders: all}})
	must(t, err)
}

func (h *head) holds(v fleet.ImageVersion) bool {
	for _, b := range v.Blobs() {
		if !h.blobs.Has(b.Digest) {
			return false
		}
	}
	return true
}

func (h *head) mustHold(t *testing.T, v fleet.ImageVersion) {
	t.Helper()
	for _, b := range v.Blobs() {
		if err := h.blobs.Verify(t.Context(), b.Digest); err != nil {
			t.Errorf("controller %s: %v", h.ID, err)
		}
	}
}

// mustHoldNothing fails if a controller holds a blob, or a part of one.
func (h *head) mustHoldNothing(t *testing.T) {
	t.Helper()
	for _, dir := range []string{h.blobs.Dir(), filepath.Join(h.blobs.Dir(), "tmp")} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			if e.Name() != "tmp" {
				t.Errorf("controller %s: left behind: %s", h.ID, e.Name())
			}
		}
	}
}

func (h *head) cut(t *testing.T, b fleet.Blob) {
	t.Helper()
	path := filepath.Join(h.blobs.Dir(), b.Digest.String())
	must(t, os.Chmod(path, 0o644))
	must(t, os.Truncate(path, b.Size/2))
}

func (h *head) damage(t *testing.T, b fleet.Blob) {
	t.Helper()
	path := filepath.Join(h.blobs.Dir(), b.Digest.String())
	must(t, os.Chmod(path, 0o644))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("damaged"), b.Size/2)
	must(t, err)
	must(t, f.Close())
}
