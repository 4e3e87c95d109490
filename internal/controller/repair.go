package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
)

// The pace of repair.
const (
	repairPause  = time.Minute     // between two looks for missing blobs, if the images do not change
	repairRetry  = 5 * time.Second // after the first failure to fetch a blob; twice as long after each that follows
	repairLimit  = 5 * time.Minute // the longest pause between two tries
	scrubPause   = 24 * time.Hour  // between two scrubs
	scrubRate    = 50 << 20        // bytes per second
	scrubAtATime = 1 << 20         // bytes that a scrub reads at a time
)

// A repair keeps what this controller holds equal to what the state names: it fetches what is missing, finds out what is
// corrupt and replaces it. Its methods may be called from any goroutine.
type repair struct {
	blobs      *blob.Store
	log        ledger
	origin     *origin
	puller     *puller
	others     func() []otherController
	nodes      func(root fleet.Digest) []netip.AddrPort
	scrubAfter time.Duration
	retry      time.Duration
	logger     *slog.Logger
	wake       map[bool]chan struct{} // by whether it is about roots: has one if there may be something to do

	mu       sync.Mutex
	troubles map[fleet.Digest]*trouble
	census   census
}

// A census says how many of the blobs that the state names a controller holds, lacks, and holds damaged. The zero
// revision says that nobody has counted yet.
type census struct {
	have, missing, corrupt int
	revision               fleet.Revision // of the state whose blobs were counted
}

// A trouble is a blob that is not as it should be.
type trouble struct {
	err     error // what is wrong
	corrupt bool  // otherwise it is missing
	checked bool  // whether it was looked at again since it was found corrupt
	tried   error // why the last try to fetch it failed; nil if there was none
	tries   int
	next    time.Time          // when to try next
	stop    context.CancelFunc // ends the try that is under way; nil if none is
}

func newRepair(c depotConfig, o *origin, p *puller) *repair {
	return &repair{blobs: c.Blobs, log: c.Log, origin: o, puller: p, others: c.Others, nodes: c.Nodes, scrubAfter: c.ScrubAfter,
		retry: repairRetry, logger: c.Logger, wake: map[bool]chan struct{}{false: make(chan struct{}, 1), true: make(chan struct{}, 1)},
		troubles: map[fleet.Digest]*trouble{}}
}

// run mends and scrubs until ctx ends. Roots and small blobs are mended beside each other, one of each at a time.
func (r *repair) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return eachImageChange(ctx, r.log, func(fleet.State) { r.look() }) })
	g.Go(func() error { return r.mend(ctx, false) })
	g.Go(func() error { return r.mend(ctx, true) })
	g.Go(func() error { return r.scrub(ctx) })
	return g.Wait()
}

// look has the blobs looked at soon.
func (r *repair) look() {
	for _, c := range r.wake {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// met takes note of a corrupt blob that somebody met.
func (r *repair) met(e *blob.CorruptError) {
	r.mu.Lock()
	t := r.troubles[e.Digest]
	known := t != nil && t.corrupt
	if !known {
		r.troubles[e.Digest] = &trouble{err: e, corrupt: true}
	}
	r.mu.Unlock()
	if !known {
		r.origin.doubt(e.Digest)
		r.logger.Error("a blob is damaged", "blob", e.Digest.Short(), "err", e)
		r.look()
	}
}

// healed forgets what was wrong with blobs, which were written anew.
func (r *repair) healed(blobs ...fleet.Blob) {
	r.mu.Lock()
	for _, b := range blobs {
		if t := r.troubles[b.Digest]; t != nil && t.stop != nil {
			t.stop()
		}
		delete(r.troubles, b.Digest)
	}
	r.mu.Unlock()
	r.survey()
}

// counts returns how many of the blobs that the state names this controller holds, lacks, and holds damaged. They are of
// the last look, if that was at this state: who has just started, or just heard of an image, must not be taken for one
// that lacks nothing.
func (r *repair) counts() census {
	r.mu.Lock()
	c := r.census
	r.mu.Unlock()
	if c.revision != r.log.State().Revision() {
		r.survey()
		r.mu.Lock()
		c = r.census
		r.mu.Unlock()
	}
	return c
}

// survey compares what is there with what the state names, without reading it, and takes note of what is missing.
func (r *repair) survey() []namedBlob {
	state := r.log.State()
	all := named(state)
	found := make(map[fleet.Digest]error, len(all))
	for _, b := range all {
		found[b.Digest] = r.stat(b.Blob)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.census = census{revision: state.Revision()}
	for _, b := range all {
		err, t := found[b.Digest], r.troubles[b.Digest]
		switch {
		case err == nil && t != nil && !t.corrupt:
			delete(r.troubles, b.Digest)
			r.census.have++
		case err == nil && t == nil:
			r.census.have++
		case t != nil && t.corrupt:
			r.census.corrupt++
		case errors.Is(err, blob.ErrCorrupt):
			r.census.corrupt++
			r.troubles[b.Digest] = &trouble{err: err, corrupt: true, checked: true}
		default:
			r.census.missing++
			if t == nil {
				r.troubles[b.Digest] = &trouble{err: err}
			}
		}
	}
	for d := range r.troubles {
		if _, still := found[d]; !still {
			delete(r.troubles, d)
		}
	}
	return all
}

// stat returns why a blob is not there, as far as can be seen without reading it.
func (r *repair) stat(b fleet.Blob) error {
	got, err := r.blobs.Stat(b.Digest)
	if err == nil && got.Size != b.Size {
		return r.blobs.Misfit(b.Digest, min(got.Size, b.Size))
	}
	return err
}

// mend fetches what is missing or corrupt of the roots, or of all else, one at a time, until ctx ends.
func (r *repair) mend(ctx context.Context, roots bool) error {
	for {
		next := time.Now().Add(repairPause)
		for _, b := range r.survey() {
			if b.Root != roots {
				continue
			}
			if _, ok := r.due(b.Digest); ok {
				r.treat(ctx, b)
			}
			if ctx.Err() != nil {
				return nil
			}
			if at, _ := r.due(b.Digest); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-r.wake[roots]:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// due reports whether something is to be done about a blob now, and otherwise when.
func (r *repair) due(d fleet.Digest) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.troubles[d]
	if t == nil {
		return time.Time{}, false
	}
	return t.next, !time.Now().Before(t.next)
}

// treat tries once to make a blob whole.
func (r *repair) treat(ctx context.Context, b namedBlob) {
	release, busy := r.puller.tryClaim(b.Digest)
	if busy != nil {
		r.failed(b, nil) // it is being fetched
		return
	}
	defer release()
	try, stop := context.WithCancel(ctx)
	defer stop()
	r.mu.Lock()
	t := r.troubles[b.Digest]
	if t == nil {
		r.mu.Unlock()
		return
	}
	t.stop = stop
	look, wrong := t.corrupt && !t.checked, t.err
	r.mu.Unlock()
	if look && r.recheck(try, b) {
		return
	}
	sources := func() []otherController { return living(r.others()) }
	if len(sources()) == 0 && (!b.Root || len(r.nodes(b.Digest)) == 0) {
		r.failed(b, nil) // nobody to ask
		return
	}
	var err error
	if b.Root {
		err = r.puller.fetchRoot(try, b.Blob, b.Torrent, sources, func(int64) {})
	} else {
		err = r.puller.fetchSmall(try, b.Blob, sources())
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.failed(b, err) // or an import has written it meanwhile, and there is no trouble left
	default:
		r.logger.Info("a blob was fetched from others", "image", b.Image, "blob", b.Digest.Short(), "because", wrong)
		r.mended(b)
	}
}

// recheck reads a corrupt blob once more, and reports whether it is whole: it may have been written anew while somebody
// still read the old file.
func (r *repair) recheck(ctx context.Context, b namedBlob) bool {
	if r.blobs.Verify(ctx, b.Digest) == nil {
		r.mended(b)
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.troubles[b.Digest]; t != nil {
		t.checked = true
	}
	return false
}

// mended takes note that a blob is whole, and puts on offer what it was wanting for.
func (r *repair) mended(b namedBlob) {
	if b.Root {
		r.origin.renew(b.Digest)
	}
	r.healed(b.Blob)
	r.origin.follow(r.log.State())
	r.look() // a root may have waited for its torrent
}

// failed takes note of a try that did not help, and why, if it was one.
func (r *repair) failed(b namedBlob, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.troubles[b.Digest]
	if t == nil {
		return
	}
	t.stop = nil
	if err == nil {
		t.next = time.Now().Add(r.retry)
		return
	}
	if t.tries == 0 {
		r.logger.Warn("a blob cannot be fetched; it is tried again", "image", b.Image, "blob", b.Digest.Short(), "err", err)
	}
	pause := min(repairLimit, r.retry<<min(t.tries, 16))
	t.next = time.Now().Add(pause/2 + rand.N(pause/2))
	t.tried = err
	t.tries++
}

// problems returns what a person should know of what this controller cannot serve.
func (r *repair) problems() []api.Problem {
	list := []api.Problem{}
	offers := r.origin.failures()
	alone := len(r.others()) == 0
	for img := range r.log.State().Images() {
		for _, v := range img.Versions {
			ref := fleet.ImageRef{Name: img.Name, Version: v.Number}
			cure := fmt.Sprintf("samara image import %s %s", v.Source, img.Name)
			if !alone {
				cure = "other controllers are asked for it again and again; if none has it: " + cure
			}
			for _, b := range v.Blobs() {
				if err := r.trouble(b.Digest, offers[b.Digest]); err != nil {
					list = append(list, api.Problem{What: fmt.Sprintf("image %s cannot be served: %v", ref, err), Cure: cure})
				}
			}
		}
	}
	return list
}

// trouble returns what is wrong with a blob, if not more than that it is not on offer.
func (r *repair) trouble(d fleet.Digest, notOffered error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.troubles[d]
	switch {
	case t == nil:
		return notOffered
	case t.tried != nil:
		return fmt.Errorf("%w; it could not be fetched: %w", t.err, t.tried)
	}
	return t.err
}

// scrub reads every blob that the state names and compares it with its name, soon after the start and then daily, until
// ctx ends. It gives way to everybody else who uses the disk.
func (r *repair) scrub(ctx context.Context) error {
	runtime.LockOSThread() // which ends with this goroutine, and its priority with it
	idleDisk()
	limit := rate.NewLimiter(scrubRate, scrubAtATime)
	for pause := r.scrubAfter; ; pause = scrubPause {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		for _, b := range named(r.log.State()) {
			err := r.blobs.Scrub(ctx, b.Digest, limit.WaitN) // what is corrupt comes by OnCorrupt
			if ctx.Err() != nil {
				return nil
			}
			if err != nil && !errors.Is(err, blob.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
				r.logger.Error("a blob cannot be read", "image", b.Image, "blob", b.Digest.Short(), "err", err)
			}
		}
	}
}

// idleDisk gives this thread's reading the lowest priority, where the kernel and the disk know of priorities.
func idleDisk() {
	const ofProcess, idleClass, classShift = 1, 3, 13 // linux/ioprio.h
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ofProcess, 0, idleClass<<classShift)
}
