package bootagent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// maxLinks is how many symbolic links a path may go through, as in path_resolution(7).
const maxLinks = 40

// resolveIn returns where name leads inside root, following symbolic links as a process whose root it is would: an
// absolute link starts at root, and ".." stops there. What does not exist is taken literally. The result is relative
// and free of links, and os.Root, which refuses absolute links, then refuses any mistake made here.
//
// openat2(RESOLVE_IN_ROOT) would do the same, but for kernels before 5.6; nothing else runs in the root yet that
// could change a link between the look and the use.
func resolveIn(root *os.Root, name string) (string, error) {
	done := "."
	todo := strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		info, err := root.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			done = next
			continue
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: more than %d symbolic links", name, maxLinks)
		}
		target, err := root.Readlink(next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			done = "."
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return done, nil
}

// writeIn writes a file inside root, in one step: there is the old file or the new one. Its directories are made if
// need be; a symbolic link in its place is replaced, not followed.
func writeIn(root *os.Root, name string, data []byte, mode fs.FileMode) error {
	dir, err := resolveIn(root, path.Dir(name))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	final := path.Join(dir, path.Base(name))
	temporary := path.Join(dir, "."+path.Base(name)+".samara")
	if err := root.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = io.Copy(f, bytes.NewReader(data))
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = root.Rename(temporary, final)
	}
	if err != nil {
		_ = root.Remove(temporary)
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// readIn reads a regular file of at most limit bytes inside root.
func readIn(root *os.Root, name string, limit int64) ([]byte, error) {
	inside, err := resolveIn(root, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	info, err := root.Lstat(inside)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("read %s: not a file of at most %d bytes", name, limit)
	}
	return root.ReadFile(inside)
}
