package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
)

// Modules are the parts of an image that an initramfs is built from, in files that live until Remove.
type Modules struct {
	Dir      string // holds modules.dep
	Firmware string // as /lib/firmware; "" if the image has none or it was not asked for
	Config   string // the file of the kernel's configuration; "" if the image has none

	tmp *blob.Temp
}

// Remove removes the files.
func (m *Modules) Remove() error { return m.tmp.Remove() }

// ExtractModules takes the modules of a kernel release out of an image that is in the store, and all firmware if that
// is asked for. The image is verified first: the error is blob.ErrCorrupt if it is damaged.
func ExtractModules(ctx context.Context, store *blob.Store, root fleet.Digest, release string, firmware bool) (*Modules, error) {
	m, err := extractModules(ctx, store, root, release, firmware)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		if m != nil {
			err = errors.Join(err, m.Remove())
		}
		return nil, fmt.Errorf("extract modules of %s: %w", release, err)
	}
	return m, nil
}

func extractModules(ctx context.Context, store *blob.Store, root fleet.Digest, release string, firmware bool) (*Modules, error) {
	if release == "" || strings.ContainsAny(release, "/\x00") || release[0] == '.' {
		return nil, fmt.Errorf("%q is no kernel release", release)
	}
	file, err := store.Path(ctx, root)
	if err != nil {
		return nil, err
	}
	unsquash, err := findTool(ctx, "unsquashfs")
	if err != nil {
		return nil, err
	}
	tmp, err := store.TempDir()
	if err != nil {
		return nil, err
	}
	m := &Modules{tmp: tmp}
	to := filepath.Join(tmp.Path(), "root")
	args := []string{"-no-progress", "-quiet", "-no-xattrs", "-no-wildcards", "-dest", to, file}
	for _, lib := range [...]string{"lib", "usr/lib"} {
		args = append(args, lib+"/modules/"+release)
		if firmware {
			args = append(args, lib+"/firmware")
		}
	}
	if err := unsquash.run(ctx, nil, append(args, "boot/config-"+release)...); err != nil {
		return m, err
	}
	return m, m.find(to, release)
}

// find looks for what was extracted.
func (m *Modules) find(root, release string) error {
	is := func(name string, dir bool) bool {
		info, err := os.Lstat(name)
		return err == nil && info.IsDir() == dir && (dir || info.Mode().IsRegular())
	}
	for _, lib := range [...]string{"lib", "usr/lib"} {
		if dir := filepath.Join(root, lib, "modules", release); is(filepath.Join(dir, "modules.dep"), false) {
			m.Dir = dir
		}
		if dir := filepath.Join(root, lib, "firmware"); is(dir, true) {
			m.Firmware = dir
		}
	}
	if m.Dir == "" {
		return errors.New("the image has none: import one whose kernel has its modules")
	}
	for _, name := range [...]string{filepath.Join(root, "boot", "config-"+release), filepath.Join(m.Dir, "config")} {
		if m.Config == "" && is(name, false) {
			m.Config = name
		}
	}
	return nil
}
