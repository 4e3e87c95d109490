// Package image turns a root file system into what nodes boot: one squashfs blob, and the kernel found inside.
//
// A source, a directory or a tar stream, is read once. Its entries are checked, freed of what has no place in an
// image, and handed as a clean tar stream to mksquashfs of squashfs-tools 4.5 or newer. The same entries in the same
// order make the same bytes.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
)

// The compressions of a squashfs that Import can write.
const (
	Zstd = "zstd" // needs a kernel with CONFIG_SQUASHFS_ZSTD, Linux 4.14 or newer
	XZ   = "xz"   // smaller, and much slower to read; for kernels without the other
	Gzip = "gzip"
)

// DefaultLevel is the zstd level of images. Debian 12 with a kernel takes 237 MB at level 3, 224 MB at level 6 for twice
// the work, and 221 MB at level 9 for nearly twice that again.
const DefaultLevel = 6

// Options say what to import. Exactly one of Dir and Tar is set.
type Options struct {
	Dir     string    // a root directory; reading all of it takes root
	Tar     io.Reader // a tar stream, plain or compressed with gzip or zstd; Import reads it to its end
	TarSize int64     // the length of Tar in bytes; 0 if unknown

	Compression string // Zstd if empty
	Level       int    // of Zstd, 1 to 22; DefaultLevel if 0
	Processors  int    // that may be used; all if 0

	// Progress, if not nil, is called now and then from the goroutine of Import.
	Progress func(Progress)
}

// A Result is an imported image.
type Result struct {
	Root     fleet.Blob // the squashfs
	Kernel   fleet.Blob
	Release  string   // of the kernel, as uname -r prints it
	Arch     string   // Go's name: amd64 or arm64
	Files    int      // entries in the image, directories and links among them
	Bytes    int64    // the sum of its files' lengths
	Warnings []string // what an administrator should know of the image, a line each
}

// Import makes an image from a root file system and stores it. What is in /dev, /proc, /run, /sys, /tmp and /var/lib/samara
// is left out, and so are sockets, POSIX ACLs and the store itself; the directories are kept. After an error, nothing is left in the store; after the
// death of the process, blob.Open removes what is left. Import returns soon after ctx ends, but not before a Read
// of Options.Tar does. Imports into one store must not run at the same time.
func Import(ctx context.Context, store *blob.Store, o Options) (Result, error) {
	res, err := importImage(ctx, store, o)
	if ctx.Err() != nil {
		err = ctx.Err() // what broke because of it says less
	}
	if err != nil {
		return Result{}, fmt.Errorf("import image: %w", err)
	}
	return res, nil
}

func importImage(ctx context.Context, store *blob.Store, o Options) (res Result, err error) {
	if (o.Dir == "") == (o.Tar == nil) {
		return Result{}, errors.New("want either a directory or a tar stream")
	}
	squash, err := findTool(ctx, "mksquashfs")
	if err != nil {
		return Result{}, err
	}
	unsquash, err := findTool(ctx, "unsquashfs")
	if err != nil {
		return Result{}, err
	}
	tmp, err := store.TempDir()
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, tmp.Remove()) }()

	file := filepath.Join(tmp.Path(), "root.squashfs")
	from, err := open(store, o)
	if err != nil {
		return Result{}, err
	}
	packed, err := pack(ctx, squash, from, file, o)
	if err != nil {
		return Result{}, err
	}
	newMeter(o.Progress, StageCheck, 0).report()
	c := contents{unsquash: unsquash, file: file, index: packed.index}
	k, warnings, err := c.inspect(ctx, o.compression())
	if err != nil {
		return Result{}, err
	}
	res = Result{Release: k.release, Arch: k.arch, Files: packed.files, Bytes: packed.bytes, Warnings: append(packed.warnings, warnings...)}
	newMeter(o.Progress, StageStore, 0).report()
	res.Root, res.Kernel, err = keep(ctx, store, file, k.bytes)
	return res, err
}

// keep stores the squashfs and the kernel, both or neither.
func keep(ctx context.Context, store *blob.Store, file string, kernel []byte) (root, k fleet.Blob, err error) {
	w, err := store.Create()
	if err != nil {
		return root, k, err
	}
	defer w.Abort()
	if _, err := w.Write(kernel); err != nil {
		return root, k, err
	}
	before, err := store.List()
	if err != nil {
		return root, k, err
	}
	if root, err = store.Adopt(ctx, file); err != nil {
		return root, k, err
	}
	if k, err = w.Commit(); err == nil {
		return root, k, nil
	}
	for _, b := range before {
		if b.Digest == root.Digest {
			return root, k, err // it was there before
		}
	}
	return root, k, errors.Join(err, store.Remove(root.Digest))
}

func (o Options) compression() string {
	if o.Compression == "" {
		return Zstd
	}
	return o.Compression
}
