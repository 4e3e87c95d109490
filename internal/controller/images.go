package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
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
	store  *raftstore.Store
	blobs  *blob.Store
	self   fleet.Controller
	agent  func(arch string) ([]byte, error)
	logger *slog.Logger
	stored func(fleet.Digest) // is told of each blob that an import wrote, new or once more
	turn   chan struct{}      // held by whoever writes blobs, so that none is taken for garbage
}

func newImages(k *core, stored func(fleet.Digest)) *images {
	return &images{store: k.store, blobs: k.blobs, self: k.self.controller(), agent: k.Agent, logger: k.Logger, stored: stored, turn: make(chan struct{}, 1)}
}

// take waits for the turn to write blobs, and returns what gives it back.
func (i *images) take(ctx context.Context) (func(), error) {
	select {
	case i.turn <- struct{}{}:
		return func() { <-i.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Import makes a new version of an image and returns it.
func (i *images) Import(ctx context.Context, r api.ImportRequest, progress func(api.Progress)) (v fleet.ImageVersion, err error) {
	progress(api.Progress{Step: "wait"})
	done, err := i.take(ctx)
	if err != nil {
		return fleet.ImageVersion{}, err
	}
	defer done()
	defer func() {
		// What may yet be committed must not lose its blobs; the next change tells.
		if err != nil && !errors.Is(err, raftstore.ErrUncertain) {
			i.collect()
		}
	}()
	from, closeSource, err := source(r)
	if err != nil {
		return fleet.ImageVersion{}, err
	}
	defer closeSource()
	from.Progress = func(p image.Progress) {
		progress(api.Progress{Step: string(p.Stage), Done: p.Done, Total: p.Total})
	}
	made, err := image.Import(ctx, i.blobs, from)
	if err != nil {
		return fleet.ImageVersion{}, err
	}
	for _, w := range made.Warnings {
		i.logger.Warn(w, "image", r.Name)
		progress(api.Progress{Warning: w})
	}
	v = fleet.ImageVersion{Root: made.Root, Kernel: made.Kernel, KernelRelease: made.Release, Arch: made.Arch, Firmware: r.Firmware, Source: r.Source, Imported: time.Now().UTC()}
	progress(api.Progress{Step: "torrent", Total: made.Root.Size})
	if v.Torrent, err = i.writeTorrent(ctx, made.Root); err != nil {
		return fleet.ImageVersion{}, err
	}
	progress(api.Progress{Step: "initramfs"})
	if v.Initramfs, v.Agent, err = i.writeInitramfs(ctx, v); err != nil {
		return fleet.ImageVersion{}, err
	}
	for _, b := range v.Blobs() {
		i.stored(b.Digest)
	}
	progress(api.Progress{Step: "publish"})
	rev, err := i.store.Propose(ctx, fleet.Entry{Command: &fleet.AddImageVersion{Image: r.Name, Version: v}, At: time.Now().UTC(), Who: r.Who, Why: r.Why})
	if err != nil {
		return fleet.ImageVersion{}, fmt.Errorf("image %s: %w", r.Name, err)
	}
	return i.published(ctx, r.Name, v, rev)
}

// published returns v with the number it was given.
func (i *images) published(ctx context.Context, name string, v fleet.ImageVersion, rev fleet.Revision) (fleet.ImageVersion, error) {
	state, err := i.store.Wait(ctx, rev-1)
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
	_, v, err := i.store.State().ImageVersion(ref)
	if err != nil {
		return nil, err
	}
	info, err := readBlob(i.blobs, v.Torrent)
	if err != nil {
		return nil, fmt.Errorf("image %s: torrent: %w", ref, err)
	}
	cluster, _ := i.store.State().Cluster()
	var trackers []string
	for _, c := range cluster.Controllers {
		trackers = append(trackers, "http://"+netip.AddrPortFrom(c.Address, c.Ports.Boot).String()+"/announce")
	}
	return seeder.TorrentFile(info, trackers), nil
}

// refresh rebuilds the initramfs of image versions whose agent is not this controller's, as after an upgrade, and
// removes blobs that no version names. It looks again at each change, until ctx ends.
func (i *images) refresh(ctx context.Context) error {
	tried := map[fleet.ImageRef]bool{} // a failure is not tried again before the next start
	for seen := fleet.Revision(0); ; {
		state, err := i.store.Wait(ctx, seen)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		seen = state.Revision()
		for img := range state.Images() {
			for _, v := range img.Versions {
				ref := fleet.ImageRef{Name: img.Name, Version: v.Number}
				if tried[ref] {
					continue
				}
				tried[ref] = true
				if err := i.refreshVersion(ctx, img.Name, v); err != nil && ctx.Err() == nil {
					i.logger.Error("cannot renew what an image boots with; it goes on with what it has", "image", ref, "err", err)
				}
			}
		}
		if done, err := i.take(ctx); err == nil {
			i.collect()
			done()
		}
	}
}

func (i *images) refreshVersion(ctx context.Context, name string, v fleet.ImageVersion) error {
	program, err := i.agent(v.Arch)
	if err != nil {
		return err
	}
	if v.Agent == sha256.Sum256(program) && i.blobs.Has(v.Initramfs.Digest) {
		return nil
	}
	done, err := i.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	b, agent, err := i.writeInitramfs(ctx, v)
	if err != nil {
		return err
	}
	_, err = i.store.Propose(ctx, fleet.Entry{
		Command: &fleet.SetInitramfs{Image: name, Version: v.Number, Initramfs: b, Agent: agent},
		At:      time.Now().UTC(), Who: "controller/" + i.self.ID, Why: "the agent was upgraded",
	})
	return err
}

// collect removes blobs that no image version names. The caller has the turn.
func (i *images) collect() {
	named := map[fleet.Digest]bool{}
	for img := range i.store.State().Images() {
		for _, v := range img.Versions {
			for _, b := range v.Blobs() {
				named[b.Digest] = true
			}
		}
	}
	all, err := i.blobs.List()
	if err != nil {
		i.logger.Error("cannot look for blobs that nothing needs", "err", err)
		return
	}
	for _, b := range all {
		if named[b.Digest] {
			continue
		}
		if err := i.blobs.Remove(b.Digest); err != nil && !errors.Is(err, fs.ErrNotExist) {
			i.logger.Error("cannot remove a blob that nothing needs", "blob", b.Digest, "err", err)
		}
	}
}
