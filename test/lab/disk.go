package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Disk is a small file system of its own that can be filled to the last byte. It goes with its network.
type Disk struct {
	Dir string // where it is mounted
}

// AddDisk mounts a disk of size bytes at dir, which it makes.
func (n *Network) AddDisk(dir string, size int64) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	// Its source has the network's name, by which removeDisks finds it, whoever calls that.
	if err := unix.Mount(n.Name, dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		return nil, fmt.Errorf("disk %s: %w", dir, err)
	}
	return &Disk{Dir: dir}, nil
}

func (d *Disk) ballast() string { return filepath.Join(d.Dir, "ballast") }

// Fill leaves not one byte free.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill disk: %w", err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("fill disk: %w", err)
	}
	return nil
}

// Free undoes Fill.
func (d *Disk) Free() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("free disk: %w", err)
	}
	return nil
}

// removeDisks unmounts all disks of n.
func (n *Network) removeDisks() error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var errs []error
	for line := range bytes.Lines(mounts) {
		if f := strings.Fields(string(line)); len(f) > 2 && f[0] == n.Name && f[2] == "tmpfs" {
			// What ended a moment ago may not have let go of it yet.
			errs = append(errs, unix.Unmount(f[1], unix.MNT_DETACH))
		}
	}
	return errors.Join(errs...)
}
