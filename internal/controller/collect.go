package controller

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
)

// keeps are the blobs that must stay although no state names them yet. Its methods may be called from any goroutine.
type keeps struct {
	turn chan struct{} // held by whoever writes blobs whose names are not known yet, and by whoever removes some

	mu     sync.Mutex
	held   map[fleet.Digest]int
	pinned map[fleet.Digest]time.Time // until when
}

func newKeeps() *keeps {
	return &keeps{turn: make(chan struct{}, 1), held: map[fleet.Digest]int{}, pinned: map[fleet.Digest]time.Time{}}
}

// take waits for the turn, and returns what gives it back, once, however often it is called.
func (k *keeps) take(ctx context.Context) (func(), error) {
	select {
	case k.turn <- struct{}{}:
		return sync.OnceFunc(func() { <-k.turn }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hold keeps blobs until the function that it returns is called, which may be called again.
func (k *keeps) hold(ds ...fleet.Digest) (release func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range ds {
		k.held[d]++
	}
	return sync.OnceFunc(func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, d := range ds {
			if k.held[d]--; k.held[d] == 0 {
				delete(k.held, d)
			}
		}
	})
}

// pin keeps blobs until a time, or later if they are pinned for longer already.
func (k *keeps) pin(until time.Time, ds ...fleet.Digest) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(k.pinned, func(_ fleet.Digest, until time.Time) bool { return until.Before(now) })
	for _, d := range ds {
		if until.After(k.pinned[d]) {
			k.pinned[d] = until
		}
	}
}

// kept reports whether a blob is held, or pinned at that time.
func (k *keeps) kept(d fleet.Digest, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.isKept(d, now)
}

func (k *keeps) isKept(d fleet.Digest, now time.Time) bool {
	if k.held[d] > 0 {
		return true
	}
	until, pinned := k.pinned[d]
	return pinned && now.Before(until)
}

// unlessKept calls remove if a blob is not kept. Nobody can hold it meanwhile.
func (k *keeps) unlessKept(d fleet.Digest, now time.Time, remove func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.isKept(d, now) {
		remove()
	}
}

// A collector removes blobs that nothing has needed for a while. A blob is needed if a version in the state names it, if it
// is held or pinned, or if it is the root, or the torrent of the root, that a node runs or fetches.
type collector struct {
	blobs   *blob.Store
	log     ledger
	keeps   *keeps
	origin  *origin
	running func(root fleet.Digest) bool
	after   time.Duration
	now     func() time.Time
	logger  *slog.Logger
	again   chan struct{} // has one if there is something to remove at once

	mu       sync.Mutex
	unneeded map[fleet.Digest]time.Time    // since when; zero: goes at once
	roots    map[fleet.Digest]fleet.Digest // by blob: the root that it is a torrent of, zero if it is none
}

func newCollector(c depotConfig, k *keeps, o *origin) *collector {
	return &collector{blobs: c.Blobs, log: c.Log, keeps: k, origin: o, running: c.Running, after: c.CollectAfter, now: time.Now,
		logger: c.Logger, again: make(chan struct{}, 1), unneeded: map[fleet.Digest]time.Time{}, roots: map[fleet.Digest]fleet.Digest{}}
}

// collectPause is between two looks for blobs that nothing needs, if the images do not change.
const collectPause = time.Minute

// run removes what nothing needs, until ctx ends.
func (c *collector) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		failed <- eachImageChange(ctx, c.log, func(fleet.State) { c.wake() })
		cancel()
	}()
	tick := time.NewTicker(min(collectPause, c.after))
	defer tick.Stop()
	for {
		if done, err := c.keeps.take(ctx); err == nil {
			c.collect()
			done()
		}
		select {
		case <-c.again:
		case <-tick.C:
		case <-ctx.Done():
			return <-failed
		}
	}
}

func (c *collector) wake() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// discard removes blobs of a change that has failed, unless something needs them, or needed them before. It does so at
// once, or as soon as nobody writes blobs.
func (c *collector) discard(ds ...fleet.Digest) {
	c.mu.Lock()
	for _, d := range ds {
		if _, known := c.unneeded[d]; !known {
			c.unneeded[d] = time.Time{}
		}
	}
	c.mu.Unlock()
	select {
	case c.keeps.turn <- struct{}{}:
		c.collect()
		<-c.keeps.turn
	default:
		c.wake()
	}
}

// collect removes what is due. The caller has the turn.
func (c *collector) collect() {
	all, err := c.blobs.List()
	if err != nil {
		c.logger.Error("cannot look for blobs that nothing needs", "err", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now, needed := c.now(), c.needed(all)
	there := map[fleet.Digest]bool{}
	for _, b := range all {
		there[b.Digest] = true
		if needed[b.Digest] {
			delete(c.unneeded, b.Digest)
			continue
		}
		since, known := c.unneeded[b.Digest]
		if !known {
			since = now
			c.unneeded[b.Digest] = now
		}
		if now.Sub(since) >= c.after {
			c.keeps.unlessKept(b.Digest, now, func() { c.remove(b) })
		}
	}
	for d := range c.unneeded {
		if !there[d] {
			delete(c.unneeded, d)
		}
	}
	for d := range c.roots {
		if !there[d] {
			delete(c.roots, d)
		}
	}
}

func (c *collector) remove(b fleet.Blob) {
	c.origin.withdraw(b.Digest)
	if err := c.blobs.Remove(b.Digest); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.logger.Error("cannot remove a blob that nothing needs", "blob", b.Digest, "err", err)
		return
	}
	delete(c.unneeded, b.Digest)
}

// needed returns which blobs of all must stay. The caller holds c.mu.
func (c *collector) needed(all []fleet.Blob) map[fleet.Digest]bool {
	now, needed := c.now(), map[fleet.Digest]bool{}
	for _, b := range named(c.log.State()) {
		needed[b.Digest] = true
	}
	for _, b := range all {
		if !needed[b.Digest] && (c.keeps.kept(b.Digest, now) || c.running(b.Digest)) {
			needed[b.Digest] = true
		}
	}
	// A torrent stays with its root, and is what brings the root of a node that runs on back on offer after a restart.
	for _, b := range all {
		if needed[b.Digest] {
			continue
		}
		root := c.rootOf(b)
		if !needed[root] || root.IsZero() {
			continue
		}
		needed[b.Digest] = true
		if c.running(root) {
			_ = c.origin.offer(root, b) // it is logged and kept for failures
		}
	}
	return needed
}

// rootOf returns the root that a blob is the torrent of, or zero. The caller holds c.mu.
func (c *collector) rootOf(b fleet.Blob) fleet.Digest {
	if root, known := c.roots[b.Digest]; known || b.Size > seeder.MaxInfo {
		return root
	}
	text, err := readBlob(c.blobs, b)
	if err != nil {
		return fleet.Digest{}
	}
	info, err := seeder.ParseInfo(text)
	if err != nil {
		info.Digest = fleet.Digest{}
	}
	c.roots[b.Digest] = info.Digest
	return info.Digest
}
