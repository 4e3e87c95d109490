package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Temp is a directory on the store's file system for files that other programs write. It lives until Remove; if the
// process dies before, the next Open of the store removes it.
type Temp struct {
	store *Store
	path  string
	lock  *os.File
}

// TempDir makes an empty Temp, which only this user may enter.
func (s *Store) TempDir() (*Temp, error) {
	path, err := os.MkdirTemp(s.tmp(), "dir-")
	if err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", s.full(err))
	}
	f, err := os.Open(path)
	if err != nil {
		_ = os.Remove(path)
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	if err := lockTemp(f); err != nil {
		_ = os.Remove(path)
		_ = f.Close()
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	return &Temp{store: s, path: path, lock: f}, nil
}

// Create makes a file of size bytes in the directory, and takes the room for them on the disk: a disk that is too full
// says so now. The caller closes the file.
func (t *Temp) Create(name string, size int64) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(t.path, name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", t.store.full(err))
	}
	for again := true; again; again = errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = f.Truncate(size) // a file system without such promises
	}
	if err != nil {
		_ = os.Remove(f.Name())
		_ = f.Close()
		return nil, fmt.Errorf("take %d bytes for a temporary file: %w", size, t.store.full(err))
	}
	return f, nil
}

// Path returns the absolute path of the directory.
func (t *Temp) Path() string { return t.path }

// Remove removes the directory and what is in it. It may be called again.
func (t *Temp) Remove() error {
	err := os.RemoveAll(t.path)
	_ = t.lock.Close()
	if err != nil {
		return fmt.Errorf("remove temporary directory: %w", err)
	}
	return nil
}

// createTemp makes a temporary file that is locked until it is closed.
func (s *Store) createTemp() (*os.File, error) {
	f, err := os.CreateTemp(s.tmp(), "file-")
	if err != nil {
		return nil, err
	}
	if err := lockTemp(f); err != nil {
		_ = os.Remove(f.Name())
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// lockTemp marks f as in use by a live process. The mark is a flock(2), which the kernel takes off when the process
// is gone, however it went. The sweep of another process can come between the making of f and its lock: f is then
// no longer in the directory, which is an error.
func lockTemp(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	held, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(f.Name())
	if err != nil {
		return err
	}
	if !os.SameFile(held, named) {
		return fmt.Errorf("%s was replaced by another process", f.Name())
	}
	return nil
}

// sweep removes the temporary files of processes that are gone.
func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.tmp())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := sweepOne(filepath.Join(s.tmp(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func sweepOne(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			return nil // its process is alive
		}
	}
	return os.RemoveAll(path)
}
