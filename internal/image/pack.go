package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/samara-hpc/samara/internal/blob"
	"golang.org/x/sys/unix"
)

// A packed is what is known of an image after it was packed into a squashfs.
type packed struct {
	index    *index
	files    int
	bytes    int64
	warnings []string
}

// pack writes the squashfs of a source to file.
func pack(ctx context.Context, squash tool, from source, file string, o Options) (*packed, error) {
	p := &packer{index: newIndex(), root: &entry{mode: 0o755, mtime: time.Unix(0, 0)}}
	p.begin = func() (io.WriteCloser, error) {
		args, err := o.squashArgs(p.root)
		if err != nil {
			return nil, err
		}
		p.child, err = squash.start(ctx, append([]string{"-", file, "-tar"}, args...))
		if err != nil {
			return nil, err
		}
		return p.child.stdin, nil
	}
	if err := p.pack(ctx, from); err != nil {
		return nil, err
	}
	if err := seal(file, p.index.inodes, p.root.mtime); err != nil {
		return nil, err
	}
	return &packed{index: p.index, files: p.files, bytes: p.bytes, warnings: from.warnings()}, nil
}

// open returns the source that the options name.
func open(store *blob.Store, o Options) (source, error) {
	if o.Tar != nil {
		return &archive{in: o.Tar, meter: newMeter(o.Progress, StagePack, o.TarSize)}, nil
	}
	root, err := filepath.EvalSymlinks(o.Dir)
	if err != nil {
		return nil, readError(o.Dir, err)
	}
	if info, err := os.Stat(root); err != nil {
		return nil, readError(root, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory", o.Dir)
	}
	var st unix.Stat_t
	if err := unix.Stat(store.Dir(), &st); err != nil {
		return nil, readError(store.Dir(), err)
	}
	return &tree{root: root, skip: inode{st.Dev, st.Ino}, meter: newMeter(o.Progress, StagePack, 0)}, nil
}

// squashArgs returns the options of mksquashfs. What is not given here would follow the clock or the user.
func (o Options) squashArgs(root *entry) ([]string, error) {
	args := []string{
		"-comp", o.compression(), "-b", "128K", "-noappend", "-exports", "-no-progress", "-quiet", "-mem", "512M",
		"-noI", // which costs 3 thousandths of an image and lets seal do its work
		"-mkfs-time", "0", "-root-mode", strconv.FormatInt(root.mode, 8), "-root-uid", "0", "-root-gid", "0",
	}
	if o.Processors > 0 {
		args = append(args, "-processors", strconv.Itoa(o.Processors))
	}
	switch level := o.Level; {
	case o.compression() == XZ || o.compression() == Gzip:
		if level != 0 {
			return nil, fmt.Errorf("compression %s has no level here", o.Compression)
		}
		return args, nil
	case o.compression() != Zstd:
		return nil, fmt.Errorf("compression %q: want %s, %s or %s", o.Compression, Zstd, XZ, Gzip)
	case level < 0 || level > 22:
		return nil, fmt.Errorf("zstd level %d: want 1 to 22", level)
	case level == 0:
		return append(args, "-Xcompression-level", strconv.Itoa(DefaultLevel)), nil
	default:
		return append(args, "-Xcompression-level", strconv.Itoa(level)), nil
	}
}

// A packer turns entries into the tar stream that mksquashfs reads. mksquashfs 4.5 is careless with tars: it drops what
// it does not understand, keeps the first of two entries of one name, looks users up by name on this machine,
// cuts the leading slashes and dots off symlinks that stand in a pax record, and ends with status 0 after all
// that. So the stream holds nothing of the kind, and the inodes are counted at the end.
type packer struct {
	index *index
	root  *entry // of the root directory, which mksquashfs takes from its arguments
	begin func() (io.WriteCloser, error)
	child *child // once begun

	raw   io.WriteCloser
	tar   *tar.Writer // onto raw
	buf   []byte
	files int
	bytes int64
}

// pack writes all entries of a source. The root directory's own entry counts if it comes first.
func (p *packer) pack(ctx context.Context, from source) error {
	p.buf = make([]byte, 1<<20)
	err := from.each(ctx, p.add)
	if err == nil {
		err = p.end()
	}
	if p.child == nil {
		return err
	}
	if err != nil {
		p.child.stop()
	}
	// If mksquashfs failed, then that is why it could not be written to.
	if failure := p.child.wait(); failure != nil && (err == nil || errors.Is(err, errChild)) {
		return failure
	}
	return err
}

// errChild means that mksquashfs has stopped reading.
var errChild = errors.New("mksquashfs has stopped")

func (p *packer) add(e *entry) error {
	if e.name == "" {
		if e.kind != directory {
			return errors.New("the root of the image is no directory")
		}
		if p.tar == nil {
			p.root = e
		}
		return nil
	}
	if excluded(e.name) {
		return nil
	}
	if err := p.start(); err != nil {
		return err
	}
	if fresh, err := p.index.add(e); err != nil || !fresh {
		return err
	}
	p.files++
	p.bytes += e.size
	return p.write(e)
}

func (p *packer) start() error {
	if p.tar != nil {
		return nil
	}
	raw, err := p.begin()
	if err != nil {
		return err
	}
	p.raw, p.tar = raw, tar.NewWriter(raw)
	return nil
}

func (p *packer) end() error {
	if p.tar == nil {
		return errors.New("there is nothing to import")
	}
	for _, name := range p.index.implied() {
		if err := p.write(&entry{name: name, kind: directory, mode: 0o755, mtime: time.Unix(0, 0)}); err != nil {
			return err
		}
	}
	if err := p.tar.Close(); err != nil {
		return fmt.Errorf("%w: %w", errChild, err)
	}
	return p.raw.Close()
}

func (k kind) flag() byte {
	switch k {
	case directory:
		return tar.TypeDir
	case symlink:
		return tar.TypeSymlink
	case hardlink:
		return tar.TypeLink
	case charDevice:
		return tar.TypeChar
	case blockDevice:
		return tar.TypeBlock
	case fifo:
		return tar.TypeFifo
	}
	return tar.TypeReg
}

func (p *packer) write(e *entry) error {
	h := &tar.Header{
		Typeflag: e.kind.flag(), Name: e.name, Linkname: e.link, Size: e.size, Mode: e.mode, Uid: e.uid, Gid: e.gid,
		ModTime: squashTime(e.mtime), Devmajor: e.major, Devminor: e.minor, Format: tar.FormatPAX, PAXRecords: map[string]string{},
	}
	for name, value := range e.xattrs {
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
	if e.kind == symlink && !plain(e.link) {
		if len(e.link) > maxLink {
			return fmt.Errorf("symlink %q has a target of %d bytes; it may have %d", e.name, len(e.link), maxLink)
		}
		if err := p.writeLongLink(e.link); err != nil {
			return err
		}
		h.Linkname = "long"
	}
	if err := p.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%w: %q: %w", errChild, e.name, err)
	}
	if e.kind != regular {
		return nil
	}
	return p.copy(e)
}

// copy copies the contents of a file, and tells failures to read from failures to write.
func (p *packer) copy(e *entry) error {
	for left := e.size; left > 0; {
		n, err := e.body.Read(p.buf[:min(left, int64(len(p.buf)))])
		if _, err := p.tar.Write(p.buf[:n]); err != nil {
			return fmt.Errorf("%w: %w", errChild, err)
		}
		if left -= int64(n); left == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("%s: %w", strconv.Quote(e.name), err)
		}
	}
	return nil
}

// plain reports whether the target of a symlink fits into a tar header, so that no pax record is made for it.
func plain(link string) bool {
	for _, b := range []byte(link) {
		if b >= 0x80 {
			return false
		}
	}
	return len(link) <= 100
}

// writeLongLink writes GNU tar's record for the target of the symlink that follows, which mksquashfs takes as it is.
func (p *packer) writeLongLink(link string) error {
	if err := p.tar.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errChild, err)
	}
	record := longLinkHeader(len(link) + 1)
	record = append(record, link...)
	record = append(record, make([]byte, 512-len(link)%512)...)
	if _, err := p.raw.Write(record); err != nil {
		return fmt.Errorf("%w: %w", errChild, err)
	}
	return nil
}

// longLinkHeader returns the header of a record of that many bytes. archive/tar writes such records only in archives
// that hold no pax records.
func longLinkHeader(size int) []byte {
	const sumAt, sumLen = 148, 8
	b := make([]byte, 512)
	copy(b, "././@LongLink")
	copy(b[100:], "0000644\x000000000\x000000000\x00") // mode, user, group
	copy(b[124:], fmt.Sprintf("%011o\x0000000000000\x00", size))
	copy(b[sumAt:], strings.Repeat(" ", sumLen))
	b[156] = tar.TypeGNULongLink
	copy(b[257:], "ustar  \x00")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[sumAt:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// squashTime returns the nearest time that a squashfs can hold: whole seconds since 1970 in 32 bits.
func squashTime(t time.Time) time.Time {
	return time.Unix(min(max(t.Unix(), 0), math.MaxUint32), 0)
}
