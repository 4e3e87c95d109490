package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// A builder fills the tree of one initramfs.
type builder struct {
	options Options
	modules *os.Root
	chosen  *selection
	summary *Summary
	tree    *tree
}

func (b *builder) fill() error {
	for _, step := range [...]func() error{b.skeleton, b.shell, b.lists, b.drivers, b.tree.end} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// skeleton writes the agent and what the kernel and the agent expect to find.
func (b *builder) skeleton() error {
	for _, d := range [...]struct {
		name string
		mode uint64
	}{{"dev", 0o755}, {"proc", 0o555}, {"sys", 0o555}, {"run", 0o755}, {"tmp", 0o1777}, {"sysroot", 0o755}, {"lib/firmware", 0o755}} {
		if err := b.tree.dir(d.name, d.mode); err != nil {
			return err
		}
	}
	if err := b.tree.device("dev/console", 0o600, 5, 1); err != nil {
		return err
	}
	if err := b.tree.device("dev/null", 0o666, 1, 3); err != nil {
		return err
	}
	return b.tree.file("init", b.options.Agent, 0o755)
}

func (b *builder) shell() error {
	if b.options.Shell == nil {
		return nil
	}
	if err := b.tree.file("bin/busybox", b.options.Shell, 0o755); err != nil {
		return err
	}
	return b.tree.symlink("bin/sh", "busybox")
}

// lists writes the files that stand in for modprobe's databases.
func (b *builder) lists() error {
	for _, f := range [...]struct{ name, text string }{
		{"load", b.chosen.loadText()}, {"modules", b.chosen.modulesText(b.options.Release)}, {"modules.alias", b.chosen.aliasText()},
	} {
		if err := b.tree.file("lib/samara/"+f.name, []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// drivers writes the modules, those of one directory together so that they compress well, and their firmware.
func (b *builder) drivers() error {
	firmware := map[string]bool{}
	names := slices.Clone(b.chosen.order)
	slices.SortFunc(names, func(x, y string) int { return strings.Compare(b.chosen.file[x], b.chosen.file[y]) })
	for _, name := range names {
		content, err := readModule(b.modules, b.chosen.file[name])
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		if b.options.Firmware != "" {
			if err := firmwareOf(content, firmware); err != nil {
				return fmt.Errorf("module %s: %w", name, err)
			}
		}
		if err := b.tree.file(b.chosen.path(b.options.Release, name), content, 0o644); err != nil {
			return err
		}
	}
	if b.options.Firmware == "" {
		return nil
	}
	return b.firmware(firmware)
}

// maxFile bounds a module or a firmware file, unpacked, in bytes.
const maxFile = 128 << 20

// readModule returns a module's file, unpacked.
func readModule(dir *os.Root, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := io.Reader(f)
	switch path.Ext(name) {
	case ".gz":
		in, err = gzip.NewReader(f)
	case ".xz":
		in, err = xz.NewReader(f)
	case ".zst":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1)); err == nil {
			defer z.Close()
		}
		in = z
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return readAll(in, name)
}

func readAll(in io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: it has more than %d bytes", name, maxFile)
	}
	return b, nil
}

// firmwareOf adds the names of the firmware that a module may ask for, which stand in its .modinfo section as
// "firmware=NAME" (include/linux/module.h).
func firmwareOf(module []byte, names map[string]bool) error {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil
	}
	info, err := section.Data()
	if err != nil {
		return err
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		if name, ok := strings.CutPrefix(entry, "firmware="); ok && name != "" {
			names[name] = true
		}
	}
	return nil
}

// firmware writes the firmware of those names that there is, compressed as it is: a kernel that has it so can read it.
func (b *builder) firmware(names map[string]bool) error {
	dir, err := os.OpenRoot(b.options.Firmware)
	if err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	defer dir.Close()
	written := map[string]bool{}
	for _, name := range sorted(names) {
		files, err := firmwareFiles(dir, name)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			b.summary.MissingFirmware = append(b.summary.MissingFirmware, name)
			continue
		}
		b.summary.Firmware = append(b.summary.Firmware, name)
		for _, file := range files {
			if written[file] {
				continue
			}
			written[file] = true
			if err := b.firmwareFile(dir, file); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) firmwareFile(dir *os.Root, file string) error {
	f, err := dir.Open(file)
	if err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	defer f.Close()
	content, err := readAll(f, file)
	if err != nil {
		return fmt.Errorf("firmware: %w", err)
	}
	return b.tree.file(path.Join("lib/firmware", file), content, 0o644)
}

// firmwareFiles returns the files for a name, which may be a pattern. A link is followed within the directory, and
// its contents go under its own name.
func firmwareFiles(dir *os.Root, name string) ([]string, error) {
	name = path.Clean(name)
	if !fs.ValidPath(name) {
		return nil, nil
	}
	for _, suffix := range [...]string{"", ".zst", ".xz"} {
		files, err := fs.Glob(dir.FS(), name+suffix)
		if errors.Is(err, path.ErrBadPattern) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("firmware %s: %w", name, err)
		}
		files = slices.DeleteFunc(files, func(file string) bool {
			info, err := dir.Stat(file)
			return err != nil || !info.Mode().IsRegular()
		})
		if len(files) > 0 {
			return files, nil
		}
	}
	return nil, nil
}

func sorted(set map[string]bool) []string {
	var list []string
	for name := range set {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
