package bootagent

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// enter makes root, opened before it was moved to the top of the tree, this process's root as well: PID 1's chroot is
// PID 1's alone. The console is let go, since the image's login programs hang it up.
func enter(root *os.File) error {
	if err := root.Chdir(); err != nil {
		return fmt.Errorf("follow into the image: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("follow into the image: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("follow into the image: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("let the console go: %w", err)
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("let the console go: %w", err)
		}
	}
	return nil
}
