package bootagent

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

// chooseInit returns the program that root is to run first: what the kernel's command line names, as Linux has it, else
// what the node's configuration names, else the first of defaultInits that is there. A program that is named and not there
// is in place of no other: a machine that runs something else than it was told is worse than one that says so. Nor can it
// come to be there: the error is hopeless, and the next boot follows what was changed meanwhile.
func chooseInit(root, line string, m fleet.Manifest) (string, error) {
	inits, cure := defaultInits[:], "boot a version of the image that has one"
	switch {
	case line != "":
		inits, cure = []string{line}, fmt.Sprintf("name another with init= in samara node set %s --kernelargs", m.Node)
	case m.Init != "":
		inits, cure = []string{m.Init}, fmt.Sprintf("name another with samara node set %s --init, or none with samara node unset %s --init", m.Node, m.Node)
	}
	init, err := findInit(root, inits)
	if errors.Is(err, errNoInit) {
		return "", hopeless{fmt.Errorf("%w; it is version %d of %s: %s", err, m.Version, m.Image, cure)}
	}
	return init, err
}

// errNoInit says that a root holds none of the programs that it might run first.
var errNoInit = errors.New("no init")

// findInit returns the first of inits that root holds as a file that can be executed.
func findInit(root string, inits []string) (string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return "", fmt.Errorf("new root: %w", err)
	}
	defer r.Close()
	for _, m := range basics {
		name := strings.TrimPrefix(m.target, "/")
		if err := r.Mkdir(name, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("image: %w", err)
		}
		if i, err := r.Lstat(name); err != nil || !i.IsDir() {
			return "", fmt.Errorf("image: %s is not a directory, so nothing can be mounted on it", m.target)
		}
	}
	for _, init := range inits {
		inside, err := resolveIn(r, init)
		if err != nil {
			continue
		}
		if i, err := r.Lstat(inside); err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0 {
			return path.Clean("/" + init), nil
		}
	}
	return "", fmt.Errorf("image: %w: none of %s is a program", errNoInit, strings.Join(inits, ", "))
}

// moveRoot makes root the root of the file system tree, with the mounts of basics moved into it, and deletes what the
// initramfs held. Processes other than this one keep the old root.
func moveRoot(root string) error {
	old, err := os.Open("/")
	if err != nil {
		return err
	}
	defer old.Close()
	for i, m := range basics {
		if err := unix.Mount(m.target, filepath.Join(root, m.target), "", unix.MS_MOVE, ""); err != nil {
			for _, back := range slices.Backward(basics[:i]) {
				_ = unix.Mount(filepath.Join(root, back.target), back.target, "", unix.MS_MOVE, "")
			}
			return fmt.Errorf("move %s into the image: %w", m.target, err)
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the image to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	deleteInitramfs(old)
	return nil
}

// deleteInitramfs frees the memory of everything on the file system of old, if that is one of the two that a kernel
// unpacks an initramfs into. What is left after a failure costs memory only.
func deleteInitramfs(old *os.File) {
	var kind unix.Statfs_t
	if err := unix.Fstatfs(int(old.Fd()), &kind); err != nil {
		return
	}
	if t := int64(kind.Type); t != unix.RAMFS_MAGIC && t != unix.TMPFS_MAGIC {
		return
	}
	var at unix.Stat_t
	if err := unix.Fstat(int(old.Fd()), &at); err != nil {
		return
	}
	deleteBelow(old, at.Dev, 0)
}

// maxDepth bounds the recursion: an initramfs is not that deep.
const maxDepth = 64

// deleteBelow deletes what dir holds, but nothing on another device.
func deleteBelow(dir *os.File, device uint64, depth int) {
	names, err := dir.Readdirnames(-1)
	if err != nil || depth > maxDepth {
		return
	}
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil || s.Dev != device {
			continue
		}
		flags := 0
		if s.Mode&unix.S_IFMT == unix.S_IFDIR {
			flags = unix.AT_REMOVEDIR
			fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			sub := os.NewFile(uintptr(fd), name)
			deleteBelow(sub, device, depth+1)
			sub.Close()
		}
		_ = unix.Unlinkat(int(dir.Fd()), name, flags)
	}
}
