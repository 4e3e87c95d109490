package bootagent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A mountPoint is a file system that every program expects.
type mountPoint struct {
	target, kind, options string
	flags                 uintptr
}

// basics are mounted by PID 1, and move into the new root in this order. /run is limited as systemd limits it; the
// image has a tmpfs of its own below it.
var basics = [...]mountPoint{
	{"/dev", "devtmpfs", "mode=755", unix.MS_NOSUID},
	{"/proc", "proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"/sys", "sysfs", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"/run", "tmpfs", "mode=755,size=20%", unix.MS_NOSUID | unix.MS_NODEV},
}

// mountBasics mounts them below root. It does as much as it can.
func mountBasics(root string) []error {
	var failures []error
	for _, m := range basics {
		target := filepath.Join(root, m.target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			failures = append(failures, err)
			continue
		}
		// EBUSY: the kernel has mounted it already (CONFIG_DEVTMPFS_MOUNT).
		if err := unix.Mount(m.kind, target, m.kind, m.flags, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
			failures = append(failures, fmt.Errorf("mount %s on %s: %w", m.kind, target, err))
		}
	}
	return failures
}

// useConsole makes the console standard input, output and error. The kernel did so unless the initramfs has no
// /dev/console.
func useConsole(log *slog.Logger) {
	console, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		log.Warn("no console", "err", err)
		return
	}
	defer console.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(console.Fd()), fd, 0); err != nil {
			log.Warn("no console", "err", err)
		}
	}
}

const printkPath = "/proc/sys/kernel/printk"

// showNotices lets the consoles show what NewLog writes as information, even when the command line says "quiet", and
// returns what restoreNotices needs.
func showNotices() (before string) {
	text, err := os.ReadFile(printkPath)
	if err != nil {
		return ""
	}
	before = strings.TrimSpace(string(text))
	if level, _, _ := strings.Cut(before, "\t"); len(level) == 1 && level < "6" {
		_ = os.WriteFile(printkPath, []byte("6"), 0)
	}
	_ = os.WriteFile(printkPath+"_devkmsg", []byte("on"), 0) // NewLog has a limit of its own
	return before
}

func restoreNotices(before string) {
	if before != "" {
		_ = os.WriteFile(printkPath, []byte(before), 0)
	}
}

// isMounted says whether something is mounted on dir.
func isMounted(dir string) (bool, error) {
	var here, above unix.Stat_t
	if err := unix.Lstat(dir, &here); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	if err := unix.Lstat(filepath.Dir(dir), &above); err != nil {
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	return here.Dev != above.Dev, nil
}

// unmountAll detaches everything that is mounted on dir itself.
func unmountAll(dir string) error {
	for {
		err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		switch {
		case errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist):
			return nil // not a mount point (any more)
		case err != nil:
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
}

// mountTmpfs mounts a tmpfs of at most that size, such as "50%" or a number of bytes, on dir, or resizes the one there.
func mountTmpfs(dir, size string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	mounted, err := isMounted(dir)
	if err != nil {
		return err
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if mounted {
		flags |= unix.MS_REMOUNT
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "mode=700,size="+size); err != nil {
		return fmt.Errorf("mount a tmpfs of %s on %s: %w", size, dir, err)
	}
	return nil
}
