package controller

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/initramfs"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/internal/image"
	"github.com/samara-hpc/samara/raftstore"
	"github.com/samara-hpc/samara/seeder"
)

// shells are where Debian's and Ubuntu's busybox-static put a shell that needs no library.
var shells = []string{"/bin/busybox", "/usr/bin/busybox"}

// images makes image versions out of root filesystems, and keeps what they boot with up to date. It implements
// api.Images.
type images struct {
	log     ledger
	blobs   *blob.Store
	self    fleet.Controller
	agent   func(arch string) ([]byte, error)
	others  func() []otherController
	logger  *slog.Logger
	keeps   *keeps
	origin  *origin
	discard func(...fleet.Digest)
	wrote   func(...fleet.Blob) // is told of blobs that were written, new or once more

	life  context.Context // of what others fetch from this controller; it ends with run
	end   context.CancelFunc
	mu    sync.Mutex // held while life ends or pulls grow
	pulls sync.WaitGroup
}

func newImages(c depotConfig, k *keeps, d *depot) *images {
	i := &images{log: c.Log, blobs: c.Blobs, self: c.Self, agent: c.Agent, others: c.Others, logger: c.Logger,
		keeps: k, origin: d.origin, discard: d.collector.discard, wrote: d.wrote}
	i.life, i.end = context.WithCancel(context.Background())
	return i
}

// run waits for ctx to end, and then for those who fetch from this controller to have let go.
func (i *images) run(ctx context.Context) error {
	<-ctx.Done()
	i.mu.Lock()
	i.end()
	i.mu.Unlock()
	i.pulls.Wait()
	return nil
}

// Import makes a new version of an image and returns it. It is published once a majority of the controllers holds its
// blobs, or not at all.
func (i *images) Import(ctx context.Context, r api.ImportRequest, progress func(api.Progress)) (fleet.ImageVersion, error) {
	what := "image " + r.Name
	if err := i.answering(what); err != nil {
		return fleet.ImageVersion{}, err
	}
	v, release, err := i.build(ctx, r, progress)
	if err != nil {
		return fleet.ImageVersion{}, err
	}
	rev, err := i.publish(ctx, r, v, release, progress)
	if err != nil {
		return fleet.ImageVersion{}, fmt.Errorf("%s: %w", what, err)
	}
	return i.published(ctx, r.Name, v, rev)
}

// build writes the blobs of a new version, and keeps them until release is called.
func (i *images) build(ctx context.Context, r api.ImportRequest, progress func(api.Progress)) (v fleet.ImageVersion, release func(), err error) {
	progress(api.Progress{Step: "wait"})
	done, err := i.keeps.take(ctx)
	if err != nil {
		return fleet.ImageVersion{}, nil, err
	}
	defer done()
	defer func() {
		if err != nil {
			done()
			i.discard(digests(v.Blobs()...)...)
		}
	}()
	from, closeSource, err := source(r)
	if err != nil {
		return v, nil, err
	}
	defer closeSource()
	from.Progress = func(p image.Progress) {
		progress(api.Progress{Step: string(p.Stage), Done: p.Done, Total: p.Total})
	}
	made, err := image.Import(ctx, i.blobs, from)
	if err != nil {
		return v, nil, err
	}
	for _, w := range made.Warnings {
		i.logger.Warn(w, "image", r.Name)
		progress(api.Progress{Warning: w})
	}
	v = fleet.ImageVersion{Root: made.Root, Kernel: made.Kernel, KernelRelease: made.Release, Arch: made.Arch, Firmware: r.Firmware, Source: r.Source, Imported: time.Now().UTC()}
	progress(api.Progress{Step: "torrent", Total: made.Root.Size})
	if v.Torrent, err = i.writeTorrent(ctx, made.Root); err != nil {
		return v, nil, err
	}
	progress(api.Progress{Step: "initramfs"})
	if v.Initramfs, v.Agent, err = i.writeInitramfs(ctx, v); err != nil {
		return v, nil, err
	}
	release = i.keeps.hold(digests(v.Blobs()...)...)
	i.wrote(v.Blobs()...)
	return v, release, nil
}

// publish has the other controllers fetch a version's blobs, makes it part of the state, and calls release. The blobs of a
// version that is not published are removed.
func (i *images) publish(ctx context.Context, r api.ImportRequest, v fleet.ImageVersion, release func(), progress func(api.Progress)) (fleet.Revision, error) {
	rev, err := i.spread(ctx, r, v, progress)
	all := digests(v.Blobs()...)
	if errors.Is(err, raftstore.ErrUncertain) {
		// What may yet be committed must not lose its blobs; the next change tells.
		i.keeps.pin(time.Now().Add(pullStays), all...)
	}
	release()
	if err != nil {
		i.discard(all...)
	}
	return rev, err
}

// spread has the other controllers fetch a version's blobs, and proposes it.
func (i *images) spread(ctx context.Context, r api.ImportRequest, v fleet.ImageVersion, progress func(api.Progress)) (fleet.Revision, error) {
	if err := i.origin.offer(v.Root.Digest, v.Torrent); err != nil {
		return 0, err
	}
	holders, stop, err := i.replicate(ctx, r.Name, asBlobs(v), progress)
	if err != nil {
		return 0, err
	}
	progress(api.Progress{Step: "publish"})
	rev, err := i.log.Propose(ctx, fleet.Entry{
		Command: &fleet.AddImageVersion{Image: r.Name, Version: v, Holders: i.holders(holders)}, ID: rand.Text(), At: time.Now().UTC(), Who: r.Who, Why: r.Why,
	})
	if err != nil {
		stop()
	}
	return rev, err
}

// holders returns what a command says of who holds its blobs, which the first format of the log knows nothing of.
func (i *images) holders(ids []string) []string {
	if i.log.State().Format() < 2 {
		return nil
	}
	return ids
}

// published returns v with the number it was given.
func (i *images) published(ctx context.Context, name string, v fleet.ImageVersion, rev fleet.Revision) (fleet.ImageVersion, error) {
	state, err := i.log.Wait(ctx, rev-1)
	if err != nil {
		return fleet.ImageVersion{}, err
	}
	img, _ := state.Image(name)
	for _, have := range img.Versions {
		if have.Root == v.Root && have.Imported.Equal(v.Imported) {
			return have, nil
		}
	}
	return fleet.ImageVersion{}, fmt.Errorf("image %s: %w: it was deleted as soon as it was there", name, fleet.ErrNotFound)
}

// source opens what a request wants imported.
func source(r api.ImportRequest) (image.Options, func(), error) {
	nothing := func() {}
	if r.Stream != nil {
		return image.Options{Tar: r.Stream}, nothing, nil
	}
	info, err := os.Stat(r.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return image.Options{}, nil, fmt.Errorf("%w source %s: there is no such file or directory on the controller", fleet.ErrInvalid, r.Path)
	case err != nil:
		return image.Options{}, nil, fmt.Errorf("source: %w", err)
	case info.IsDir():
		return image.Options{Dir: r.Path}, nothing, nil
	case !info.Mode().IsRegular():
		return image.Options{}, nil, fmt.Errorf("%w source %s: neither a directory nor a tar file", fleet.ErrInvalid, r.Path)
	}
	f, err := os.Open(r.Path)
	if err != nil {
		return image.Options{}, nil, fmt.Errorf("source: %w", err)
	}
	return image.Options{Tar: f, TarSize: info.Size()}, func() { _ = f.Close() }, nil
}

// writeTorrent makes and stores the info dictionary of a root's torrent.
func (i *images) writeTorrent(ctx context.Context, root fleet.Blob) (fleet.Blob, error) {
	r, err := i.blobs.Open(root.Digest)
	if err != nil {
		return fleet.Blob{}, err
	}
	defer r.Close()
	info, err := seeder.MakeInfo(&contextReader{ctx, io.NewSectionReader(r, 0, r.Size())}, root.Size)
	if err != nil {
		return fleet.Blob{}, err
	}
	return i.write(func(w io.Writer) error {
		_, err := w.Write(info)
		return err
	})
}

// A contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// writeInitramfs builds and stores what a version boots with: this controller's agent and the image's own modules.
func (i *images) writeInitramfs(ctx context.Context, v fleet.ImageVersion) (fleet.Blob, fleet.Digest, error) {
	program, err := i.agent(v.Arch)
	if err != nil {
		return fleet.Blob{}, fleet.Digest{}, err
	}
	modules, err := image.ExtractModules(ctx, i.blobs, v.Root.Digest, v.KernelRelease, v.Firmware)
	if err != nil {
		return fleet.Blob{}, fleet.Digest{}, err
	}
	defer modules.Remove()
	shell, err := rescueShell(v.Arch)
	if err != nil {
		return fleet.Blob{}, fleet.Digest{}, err
	}
	b, err := i.write(func(w io.Writer) error {
		_, err := initramfs.Build(w, initramfs.Options{Agent: program, Modules: modules.Dir, Release: v.KernelRelease, Config: modules.Config, Firmware: modules.Firmware, Shell: shell})
		return err
	})
	if err != nil {
		return fleet.Blob{}, fleet.Digest{}, fmt.Errorf("initramfs: %w", err)
	}
	return b, sha256.Sum256(program), nil
}

// rescueShell returns this machine's static busybox, or nil if it has none for nodes of that architecture.
func rescueShell(arch string) ([]byte, error) {
	for _, path := range shells {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("rescue shell: %w", err)
		}
		if staticFor(b, arch) {
			return b, nil
		}
	}
	return nil, nil
}

func (i *images) write(fill func(io.Writer) error) (fleet.Blob, error) {
	w, err := i.blobs.Create()
	if err != nil {
		return fleet.Blob{}, err
	}
	defer w.Abort()
	if err := fill(w); err != nil {
		return fleet.Blob{}, err
	}
	return w.Commit()
}

// Torrent returns the .torrent of an image version, for standard clients.
func (i *images) Torrent(_ context.Context, ref fleet.ImageRef) ([]byte, error) {
	_, v, err := i.log.State().ImageVersion(ref)
	if err != nil {
		return nil, err
	}
	info, err := readBlob(i.blobs, v.Torrent)
	if err != nil {
		return nil, fmt.Errorf("image %s: torrent: %w", ref, err)
	}
	cluster, _ := i.log.State().Cluster()
	var trackers []string
	for _, c := range cluster.Controllers {
		trackers = append(trackers, "http://"+netip.AddrPortFrom(c.Address, c.Ports.Boot).String()+"/announce")
	}
	return seeder.TorrentFile(info, trackers), nil
}
