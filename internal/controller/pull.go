package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/seeder"
)

// How a fetch treats those it fetches from.
const (
	renamePeers = 2 * time.Second  // between two times that a download is told its peers: it forgets those that refused
	hangUpAfter = 10 * time.Second // without a verified byte, the connections of a download are made anew
	giveUpAfter = 2 * time.Minute  // without a verified byte, a fetch has failed
	pullStays   = time.Hour        // that pulled blobs are kept which no state names yet
)

// errStalled is why a fetch fails whose sources have stopped sending.
var errStalled = errors.New("nothing has arrived for two minutes")

// A puller fetches blobs: roots from the swarm, all else from other controllers over TLS. Every blob is compared with its
// name before it is kept. Its methods may be called from any goroutine; one fetch of a blob runs at a time.
type puller struct {
	self    fleet.Controller
	blobs   *blob.Store
	swarm   *seeder.Client
	origin  *origin
	keeps   *keeps
	others  func() []otherController
	nodes   func(root fleet.Digest) []netip.AddrPort
	discard func(...fleet.Digest) // removes what nothing needs
	wrote   func(...fleet.Blob)   // is told of blobs that were written, new or once more
	giveUp  time.Duration
	create  func(t *blob.Temp, name string, size int64) (*os.File, error)

	mu   sync.Mutex
	busy map[fleet.Digest]chan struct{} // blobs that are being fetched; closed at the end
}

func newPuller(c depotConfig, k *keeps, d *depot) *puller {
	return &puller{self: c.Self, blobs: c.Blobs, swarm: c.Swarm, origin: d.origin, keeps: k, others: c.Others, nodes: c.Nodes,
		discard: d.collector.discard, wrote: d.wrote, giveUp: giveUpAfter, create: (*blob.Temp).Create, busy: map[fleet.Digest]chan struct{}{}}
}

// Pull fetches the blobs of r that this controller does not hold whole, and keeps them all for an hour, in which the state
// has time to name them. A root is on offer afterwards. After an error, what was fetched is removed.
func (p *puller) Pull(ctx context.Context, r api.PullRequest, progress func(api.Progress)) error {
	asked := listOf(r.Blobs)
	if err := checkPull(r.Blobs, asked); err != nil {
		return err
	}
	release := p.keeps.hold(digests(asked...)...)
	wrote, err := p.pullAll(ctx, r, asked, newPullMeter(asked, progress))
	if err == nil && !r.Blobs.Root.IsZero() {
		err = p.origin.offer(r.Blobs.Root.Digest, r.Blobs.Torrent)
	}
	if err == nil {
		p.keeps.pin(time.Now().Add(pullStays), digests(asked...)...)
	}
	release()
	if err != nil {
		p.discard(wrote...)
	}
	return err
}

// pullAll makes sure that this controller holds blobs whole, and returns those that it had to fetch, also after an error.
func (p *puller) pullAll(ctx context.Context, r api.PullRequest, asked []fleet.Blob, meter *pullMeter) (wrote []fleet.Digest, err error) {
	for _, b := range asked {
		fetched, err := p.pull(ctx, r, b, meter)
		if err != nil {
			return wrote, err
		}
		if fetched {
			wrote = append(wrote, b.Digest)
		}
		meter.done(b)
	}
	return wrote, nil
}

// checkPull refuses what cannot be fetched, whoever asks.
func checkPull(p api.PullBlobs, asked []fleet.Blob) error {
	if len(asked) == 0 {
		return fmt.Errorf("%w request: it names no blob", fleet.ErrInvalid)
	}
	for _, b := range asked {
		if b.Size <= 0 {
			return fmt.Errorf("%w blob %s: %d bytes", fleet.ErrInvalid, b.Digest.Short(), b.Size)
		}
	}
	if p.Torrent.Size > seeder.MaxInfo || !p.Root.IsZero() && p.Torrent.IsZero() {
		return fmt.Errorf("%w request: root %s with a torrent of %d bytes", fleet.ErrInvalid, p.Root.Digest.Short(), p.Torrent.Size)
	}
	return nil
}

// pull makes sure that this controller holds b whole, and reports whether it had to be fetched.
func (p *puller) pull(ctx context.Context, r api.PullRequest, b fleet.Blob, meter *pullMeter) (fetched bool, err error) {
	release, err := p.claim(ctx, b.Digest)
	if err != nil {
		return false, err
	}
	defer release()
	switch err := p.blobs.Verify(ctx, b.Digest); {
	case err == nil:
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, blob.ErrCorrupt):
		return false, err
	}
	sources := func() []otherController { return sourcesFor(p.others(), r.From) }
	if b == r.Blobs.Root {
		err = p.fetchRoot(ctx, b, r.Blobs.Torrent, sources, meter.set)
	} else {
		err = p.fetchSmall(ctx, b, sources())
	}
	if err == nil {
		p.wrote(b)
	}
	return err == nil, err
}

// sourcesFor returns whom to ask for what a controller wants to be fetched: that one first, which lives, since it asks,
// then the others that do.
func sourcesFor(all []otherController, from string) []otherController {
	var first, rest []otherController
	for _, c := range all {
		switch {
		case c.ID == from:
			first = append(first, c)
		case c.Alive:
			rest = append(rest, c)
		}
	}
	return append(first, rest...)
}

// living leaves out controllers that do not answer.
func living(all []otherController) []otherController {
	return slices.DeleteFunc(slices.Clone(all), func(c otherController) bool { return !c.Alive })
}

// claim waits until nobody fetches d, and returns what lets others do so.
func (p *puller) claim(ctx context.Context, d fleet.Digest) (release func(), err error) {
	for {
		release, busy := p.tryClaim(d)
		if busy == nil {
			return release, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryClaim is claim without waiting: while somebody fetches d, it returns what is closed afterwards.
func (p *puller) tryClaim(d fleet.Digest) (release func(), busy <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, ok := p.busy[d]; ok {
		return nil, other
	}
	done := make(chan struct{})
	p.busy[d] = done
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.busy, d)
		close(done)
	}, nil
}

// fetchSmall copies a blob from the first controller that has it whole. The caller has claimed it.
func (p *puller) fetchSmall(ctx context.Context, b fleet.Blob, from []otherController) error {
	if len(from) == 0 {
		return fmt.Errorf("fetch blob %s: no other controller answers", b.Digest.Short())
	}
	var failed []error
	for _, c := range from {
		err := p.copyFrom(ctx, c, b)
		if err == nil || ctx.Err() != nil || isFull(err) {
			return err
		}
		failed = append(failed, fmt.Errorf("from controller %s: %w", c.ID, err))
	}
	return fmt.Errorf("fetch blob %s: %w", b.Digest.Short(), joined(failed))
}

// isFull reports whether err is this controller's want of space, which no other source cures.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// joined is errors.Join on one line.
func joined(errs []error) error {
	var all error
	for _, err := range errs {
		if all == nil {
			all = err
		} else {
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// copyFrom copies a blob from one controller. A source that sends nothing for a while is given up.
func (p *puller) copyFrom(ctx context.Context, c otherController, b fleet.Blob) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(p.giveUp, func() { cancel(errStalled) })
	defer silent.Stop()
	r, size, err := c.Client.Blob(ctx, b.Digest)
	if err != nil {
		return orCause(ctx, err)
	}
	defer r.Close()
	if size != b.Size {
		return fmt.Errorf("%w: %d bytes instead of %d", blob.ErrOther, size, b.Size)
	}
	w, err := p.blobs.Create()
	if err != nil {
		return err
	}
	defer w.Abort()
	in := &contextReader{ctx, readerFunc(func(buf []byte) (int, error) {
		silent.Reset(p.giveUp)
		return r.Read(buf)
	})}
	if _, err := io.Copy(w, io.LimitReader(in, b.Size+1)); err != nil {
		return orCause(ctx, err)
	}
	return w.CommitAs(b)
}

// orCause returns why ctx ended, if it did, instead of what broke because of it.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// fetchRoot fetches a root from the swarm: from the controllers that sources returns, and from nodes that hold it. The
// caller has claimed it, and holds its torrent. have is told of the bytes that were verified so far.
func (p *puller) fetchRoot(ctx context.Context, root, torrent fleet.Blob, sources func() []otherController, have func(int64)) error {
	info, err := readBlob(p.blobs, torrent)
	if err != nil {
		return fmt.Errorf("fetch blob %s: torrent: %w", root.Digest.Short(), err)
	}
	tmp, err := p.blobs.TempDir()
	if err != nil {
		return err
	}
	defer func() { _ = tmp.Remove() }() // what cannot be removed now is swept away at the next start
	f, err := p.create(tmp, "root", root.Size)
	if err != nil {
		return fmt.Errorf("fetch blob %s: %w", root.Digest.Short(), err)
	}
	defer f.Close()
	d, err := p.swarm.Fetch(info, root, f)
	if err != nil {
		return err
	}
	defer func() { _ = p.swarm.Drop(d.Hash()) }() // it fails only in a client that is closing
	peers := func() []netip.AddrPort {
		var addrs []netip.AddrPort
		for _, c := range sources() {
			addrs = append(addrs, swarmAddress(c.Controller))
		}
		return append(addrs, p.nodes(root.Digest)...)
	}
	if err := p.nurse(ctx, d, peers, have); err != nil {
		return err
	}
	return p.blobs.AdoptAs(ctx, f.Name(), root) // the download goes on offering it meanwhile
}

// nurse waits until a download is complete, and keeps it supplied with peers.
func (p *puller) nurse(ctx context.Context, d *seeder.Download, peers func() []netip.AddrPort, have func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var nurse sync.WaitGroup
	nurse.Go(func() { p.supply(ctx, d, peers, have, cancel) })
	err := d.Wait(ctx)
	cancel(nil)
	nurse.Wait()
	return err
}

// supply tells a download its peers, again and again, until ctx ends. It ends ctx itself if the download has stalled.
func (p *puller) supply(ctx context.Context, d *seeder.Download, peers func() []netip.AddrPort, have func(int64), giveUp context.CancelCauseFunc) {
	tick := time.NewTicker(renamePeers / 4)
	defer tick.Stop()
	var best int64
	moved, named, hungUp := time.Now(), time.Time{}, time.Now()
	for {
		now := time.Now()
		if done := d.Progress().Have; done > best {
			best, moved = done, now
			have(best)
		}
		switch stalled := now.Sub(moved); {
		case stalled >= p.giveUp:
			giveUp(fmt.Errorf("%w from those who may hold it: %v", errStalled, peers()))
			return
		case stalled >= hangUpAfter && now.Sub(hungUp) >= hangUpAfter:
			d.HangUp()
			hungUp, named = now, time.Time{}
		}
		if now.Sub(named) >= renamePeers {
			d.AddPeers(peers())
			named = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// OpenBlob opens a blob for another controller and returns its size. The error wraps fleet.ErrNotFound if this controller
// does not hold it, and blob.ErrCorrupt if it is damaged.
func (p *puller) OpenBlob(d fleet.Digest) (io.ReadCloser, int64, error) {
	r, err := p.blobs.Open(d)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("blob %s on controller %s: %w", d.Short(), p.self.ID, fleet.ErrNotFound)
	}
	if err != nil {
		return nil, 0, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(r, 0, r.Size()), r}, r.Size(), nil
}

// A pullMeter tells how much of all blobs of a request is there.
type pullMeter struct {
	tell         func(api.Progress)
	total, whole int64 // bytes asked for, bytes of the blobs that are done
}

func newPullMeter(asked []fleet.Blob, tell func(api.Progress)) *pullMeter {
	m := &pullMeter{tell: tell}
	for _, b := range asked {
		m.total += b.Size
	}
	return m
}

// set tells how much of the blob that is under way is verified.
func (m *pullMeter) set(have int64) {
	m.tell(api.Progress{Step: stepReplicate, Done: m.whole + have, Total: m.total})
}

// done tells that the blob that was under way is there.
func (m *pullMeter) done(b fleet.Blob) {
	m.whole += b.Size
	m.set(0)
}

// stepReplicate is the step of an import in which other controllers fetch its blobs.
const stepReplicate = "replicate"
