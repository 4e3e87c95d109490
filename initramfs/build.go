package initramfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Options are what an initramfs is built from.
type Options struct {
	Agent    []byte // the static program that becomes /init
	Modules  string // the directory with modules.dep of the kernel's release
	Release  string // as uname -r prints it
	Config   string // the file of the kernel's configuration; without one, what kernels of that release mostly can is used
	Firmware string // the directory of the firmware that the modules name; "" for none
	Shell    []byte // a static busybox for the rescue shell; nil for none
}

// A Summary says what an initramfs holds.
type Summary struct {
	Compression     string   // zstd, gzip or none
	Modules         []string // by name, in an order in which they can be loaded
	Firmware        []string // as the modules name it
	MissingFirmware []string // named by modules, and not in Options.Firmware
}

// Build writes the initramfs for a kernel. Its bytes follow from the contents of what the options name, and from nothing
// else: neither times nor the order of directories nor this machine.
func Build(w io.Writer, o Options) (Summary, error) {
	sum, err := build(w, o)
	if err != nil {
		return Summary{}, fmt.Errorf("build initramfs for %s: %w", o.Release, err)
	}
	return sum, nil
}

func build(w io.Writer, o Options) (Summary, error) {
	switch {
	case len(o.Agent) == 0:
		return Summary{}, errors.New("there is no agent")
	case o.Release == "" || strings.ContainsAny(o.Release, "/ \n\x00") || o.Release[0] == '.':
		return Summary{}, fmt.Errorf("%q is no kernel release", o.Release)
	}
	dir, err := os.OpenRoot(o.Modules)
	if err != nil {
		return Summary{}, fmt.Errorf("modules: %w", err)
	}
	defer dir.Close()
	c, err := loadCatalog(dir)
	if err != nil {
		return Summary{}, err
	}
	chosen, err := choose(c, dir)
	if err != nil {
		return Summary{}, err
	}
	sum := Summary{Modules: chosen.order}
	if sum.Compression, err = compressionFor(o.Release, o.Config); err != nil {
		return Summary{}, err
	}
	z, err := compress(w, sum.Compression)
	if err != nil {
		return Summary{}, err
	}
	b := &builder{options: o, modules: dir, chosen: chosen, summary: &sum, tree: newTree(z)}
	if err := b.fill(); err != nil {
		return Summary{}, errors.Join(err, z.Close())
	}
	return sum, z.Close()
}

// compressionFor returns the best compression that the kernel can read.
func compressionFor(release, config string) (string, error) {
	if config == "" {
		if atLeast(release, 5, 9) { // CONFIG_RD_ZSTD, on by default
			return "zstd", nil
		}
		return "gzip", nil
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return "", err
	}
	for _, c := range [...]struct{ option, name string }{{"CONFIG_RD_ZSTD", "zstd"}, {"CONFIG_RD_GZIP", "gzip"}} {
		if bytes.Contains(text, []byte("\n"+c.option+"=y")) {
			return c.name, nil
		}
	}
	return "none", nil
}

// atLeast reports whether a kernel release is of version major.minor or later.
func atLeast(release string, major, minor int) bool {
	a, rest, _ := strings.Cut(release, ".")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits >= 0 {
		rest = rest[:digits]
	}
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(rest)
	return errX == nil && errY == nil && (x > major || x == major && y >= minor)
}

// compress returns a writer that ends with Close. Its output follows from what is written, however it is cut up: one
// goroutine, no names and no times.
func compress(w io.Writer, name string) (io.WriteCloser, error) {
	switch name {
	case "zstd":
		// The kernel takes windows of up to 128 MiB (lib/decompress_unzstd.c) and memory for as much: 8 MiB finds what
		// modules have in common.
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestCompression)
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
