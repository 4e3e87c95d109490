package initramfs

import (
	"io"
	"path"

	"github.com/u-root/u-root/pkg/cpio"
)

// A tree writes a file system in the newc format, which the kernel unpacks (Documentation/driver-api/early-userspace/
// buffer-format.rst). Directories come before what is in them, by themselves.
type tree struct {
	out  cpio.RecordWriter
	dirs map[string]bool
}

func newTree(w io.Writer) *tree {
	return &tree{out: cpio.Newc.Writer(w), dirs: map[string]bool{".": true}}
}

func (t *tree) write(r cpio.Record) error {
	if err := t.dir(path.Dir(r.Name), 0o755); err != nil {
		return err
	}
	return t.out.WriteRecord(cpio.MakeReproducible(r))
}

// dir writes a directory unless it is there.
func (t *tree) dir(name string, mode uint64) error {
	if t.dirs[name] {
		return nil
	}
	t.dirs[name] = true
	return t.write(cpio.Directory(name, mode))
}

func (t *tree) file(name string, content []byte, mode uint64) error {
	return t.write(cpio.StaticRecord(content, cpio.Info{Name: name, Mode: cpio.S_IFREG | mode}))
}

func (t *tree) symlink(name, target string) error { return t.write(cpio.Symlink(name, target)) }

func (t *tree) device(name string, mode, major, minor uint64) error {
	return t.write(cpio.CharDev(name, mode, major, minor))
}

func (t *tree) end() error { return cpio.WriteTrailer(t.out) }
