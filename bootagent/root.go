package bootagent

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A rootLayout is where the parts of the root file system are mounted.
type rootLayout struct {
	image string // the squashfs
	lower string
	rw    string // gets a tmpfs
	root  string
}

// rwSize bounds what a node writes over its image, in the words of tmpfs(5).
const rwSize = "50%"

// mount lays a tmpfs over the image. What an earlier attempt left is unmounted first.
func (l rootLayout) mount() error {
	for _, dir := range []string{l.root, l.rw, l.lower} {
		if err := unmountAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := mountImage(l.image, l.lower); err != nil {
		return err
	}
	if err := mountTmpfs(l.rw, rwSize); err != nil {
		return err
	}
	upper, work := filepath.Join(l.rw, "upper"), filepath.Join(l.rw, "work")
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := copyMode(l.lower, upper); err != nil {
		return err
	}
	options := "lowerdir=" + l.lower + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", l.root, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount the overlay on %s: %w", l.root, err)
	}
	return nil
}

// mountImage mounts a squashfs from the very file that is seeded.
func mountImage(image, lower string) error {
	file, err := os.Open(image)
	if err != nil {
		return fmt.Errorf("open the image: %w", err)
	}
	defer file.Close()
	device, err := attachLoop(file)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := unix.Mount(device.Name(), lower, "squashfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount the image, a squashfs, from %s: %w", device.Name(), err)
	}
	return nil
}

// copyMode gives the upper layer's top the mode and owner of the image's, since the overlay shows those of the upper.
func copyMode(from, to string) error {
	var s unix.Stat_t
	if err := unix.Stat(from, &s); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if err := os.Chown(to, int(s.Uid), int(s.Gid)); err != nil {
		return err
	}
	return unix.Chmod(to, s.Mode&0o7777)
}
