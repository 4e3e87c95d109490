package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A tree is a directory as a source. Its entries come in the order of their names.
type tree struct {
	root    string
	skip    inode // the directory of the store, which may be inside
	meter   *meter
	linked  map[inode]string // the first name of each file that has several
	lost    int              // extended attributes that a squashfs cannot hold
	changed int              // files that changed while they were read
}

type inode struct{ device, number uint64 }

// total returns how many bytes each will read.
func (t *tree) total(ctx context.Context) (int64, error) {
	count := newMeter(t.meter.tell, StageScan, 0)
	t.linked = map[inode]string{}
	err := t.walk(ctx, "", func(name string, st *unix.Stat_t) error {
		if st.Mode&unix.S_IFMT == unix.S_IFREG && t.firstName(st, name) == "" {
			count.add(st.Size)
		}
		return nil
	})
	count.report()
	return count.at.Done, err
}

// each implements source.
func (t *tree) each(ctx context.Context, add func(*entry) error) (err error) {
	if t.meter.at.Total, err = t.total(ctx); err != nil {
		return err
	}
	t.linked = map[inode]string{}
	err = t.walk(ctx, "", func(name string, st *unix.Stat_t) error { return t.visit(ctx, name, st, add) })
	t.meter.report()
	return err
}

// warnings implements source.
func (t *tree) warnings() []string {
	var w []string
	if t.lost > 0 {
		w = append(w, lostWarning(t.lost))
	}
	if t.changed > 0 {
		w = append(w, fmt.Sprintf("%d files shrank while they were read and end in zeros: import again when nothing writes to %s", t.changed, t.root))
	}
	return w
}

// walk calls visit for name and everything below it that has a place in an image, directories first.
func (t *tree) walk(ctx context.Context, name string, visit func(string, *unix.Stat_t) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	full := filepath.Join(t.root, name)
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err != nil {
		if errors.Is(err, fs.ErrNotExist) && name != "" {
			return nil // removed meanwhile
		}
		return readError(full, err)
	}
	if err := visit(name, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	if t.skip == (inode{st.Dev, st.Ino}) {
		return nil
	}
	children, err := os.ReadDir(full)
	if err != nil {
		return readError(full, err)
	}
	for _, c := range children {
		child := path.Join(name, c.Name())
		if excluded(child) {
			continue
		}
		if err := t.walk(ctx, child, visit); err != nil {
			return err
		}
	}
	return nil
}

// visit makes an entry of a file and adds it.
func (t *tree) visit(ctx context.Context, name string, st *unix.Stat_t, add func(*entry) error) error {
	full := filepath.Join(t.root, name)
	e := &entry{
		name: name, mode: int64(st.Mode & 0o7777), uid: int(st.Uid), gid: int(st.Gid), mtime: time.Unix(st.Mtim.Unix()),
		major: int64(unix.Major(st.Rdev)), minor: int64(unix.Minor(st.Rdev)),
	}
	if len(name) > maxName {
		return fmt.Errorf("a name begins with %q and has %d bytes; it may have %d", name[:64], len(name), maxName)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.kind = regular
	case unix.S_IFDIR:
		e.kind = directory
	case unix.S_IFLNK:
		e.kind = symlink
	case unix.S_IFCHR:
		e.kind = charDevice
	case unix.S_IFBLK:
		e.kind = blockDevice
	case unix.S_IFIFO:
		e.kind = fifo
	default:
		return nil // a socket, which means nothing without its process
	}
	if first := t.firstName(st, name); first != "" {
		e.kind, e.link = hardlink, first
		return add(e)
	}
	var err error
	if e.xattrs, err = t.attributes(full); err != nil {
		return readError(full, err)
	}
	switch e.kind {
	case symlink:
		if e.link, err = os.Readlink(full); err != nil {
			return readError(full, err)
		}
	case regular:
		return t.addFile(ctx, e, full, st, add)
	}
	return add(e)
}

// firstName returns the name under which the file of st was met before, or "" if it was not; name is then its first.
func (t *tree) firstName(st *unix.Stat_t, name string) string {
	if st.Nlink < 2 || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return ""
	}
	i := inode{st.Dev, st.Ino}
	if first, ok := t.linked[i]; ok {
		return first
	}
	t.linked[i] = name
	return ""
}

// addFile adds a regular file, with as many bytes as it has when it is opened.
func (t *tree) addFile(ctx context.Context, e *entry, full string, st *unix.Stat_t, add func(*entry) error) error {
	f, err := os.OpenFile(full, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return readError(full, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return readError(full, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s was replaced while it was read: import it again", full)
	}
	e.size = info.Size()
	e.body = &fileReader{ctx: ctx, tree: t, file: f, size: e.size, sparse: st.Blocks*512 < e.size}
	return add(e)
}

// attributes returns the extended attributes of a file that a squashfs can hold.
func (t *tree) attributes(full string) (map[string]string, error) {
	list, err := grow(func(buf []byte) (int, error) { return unix.Llistxattr(full, buf) })
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || len(list) == 0 {
		return nil, err
	}
	attrs := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if !storable(name) {
			t.lost++
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return unix.Lgetxattr(full, name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		attrs[name] = string(value)
	}
	return attrs, nil
}

// maxAttribute is the most that Linux holds in an extended attribute or in the list of their names, in bytes.
const maxAttribute = 64 << 10

// grow calls read with a buffer that is large enough for whatever it reads.
func grow(read func([]byte) (int, error)) ([]byte, error) {
	n, err := read(nil)
	if err != nil || n == 0 {
		return nil, err
	}
	buf := make([]byte, maxAttribute)
	if n, err = read(buf); err != nil {
		return nil, err
	}
	return buf[:n:n], nil
}

// readError adds what helps to an error of reading the source.
func readError(full string, err error) error {
	var named *fs.PathError
	if !errors.As(err, &named) {
		err = &fs.PathError{Op: "read", Path: full, Err: err}
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run this as root", err)
	}
	return err
}
