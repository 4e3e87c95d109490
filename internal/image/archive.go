package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// An archive is a tar stream as a source.
type archive struct {
	in    io.Reader
	meter *meter
	lost  int // extended attributes that a squashfs cannot hold
}

var errEndsEarly = errors.New("the tar ends early")

// each implements source. It reads the stream to its end and fails unless it is whole: an archive is whole if two
// blocks of zeros mark its end (POSIX pax, "ustar Interchange Format"), and the checksums of its compression are right.
func (a *archive) each(ctx context.Context, add func(*entry) error) error {
	raw := &meteredReader{ctx: ctx, in: a.in, meter: a.meter}
	plain, err := decompress(bufio.NewReaderSize(raw, 1<<20))
	if err != nil {
		return err
	}
	defer plain.Close()
	in := &endReader{in: plain, raw: raw}
	if err := a.entries(tar.NewReader(in), add); err != nil {
		return a.explain(in, err)
	}
	if in.ended {
		return a.explain(in, errEndsEarly)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return a.explain(in, err)
	}
	a.meter.report()
	return nil
}

func (a *archive) entries(r *tar.Reader, add func(*entry) error) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		e, err := a.entry(h)
		if err != nil {
			return err
		}
		e.body = r
		if err := add(e); err != nil {
			return err
		}
	}
}

// kindOf returns the kind of a tar entry, and false for one that is no file.
func kindOf(flag byte) (kind, bool) {
	switch flag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return regular, true
	case tar.TypeDir:
		return directory, true
	case tar.TypeSymlink:
		return symlink, true
	case tar.TypeLink:
		return hardlink, true
	case tar.TypeChar:
		return charDevice, true
	case tar.TypeBlock:
		return blockDevice, true
	case tar.TypeFifo:
		return fifo, true
	}
	return 0, false
}

func (a *archive) entry(h *tar.Header) (*entry, error) {
	k, ok := kindOf(h.Typeflag)
	if !ok {
		return nil, fmt.Errorf("%q is of type %q, which only GNU's incremental and multi-volume archives hold: make a plain one", h.Name, h.Typeflag)
	}
	name, err := cleanName(h.Name)
	if err != nil {
		return nil, err
	}
	e := &entry{name: name, kind: k, link: h.Linkname, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid, mtime: h.ModTime, major: h.Devmajor, minor: h.Devminor}
	if k == regular {
		e.size = h.Size
	}
	if k == hardlink {
		if e.link, err = cleanName(h.Linkname); err != nil {
			return nil, err
		}
	}
	if h.Uid < 0 || h.Gid < 0 || h.Uid > math.MaxUint32 || h.Gid > math.MaxUint32 {
		return nil, fmt.Errorf("%q belongs to %d:%d, which are no user and group", name, h.Uid, h.Gid)
	}
	a.attributes(e, h.PAXRecords)
	return e, nil
}

// attributes reads extended attributes from the records that GNU tar, bsdtar and Go write.
func (a *archive) attributes(e *entry, records map[string]string) {
	for key, value := range records {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		switch {
		case ok && storable(name):
		case ok, strings.HasPrefix(key, "SCHILY.acl."):
			a.lost++
			continue
		case key == "RHT.security.selinux":
			name = "security.selinux"
		default:
			continue
		}
		if e.xattrs == nil {
			e.xattrs = map[string]string{}
		}
		e.xattrs[name] = value
	}
}

// warnings implements source.
func (a *archive) warnings() []string {
	if a.lost > 0 {
		return []string{lostWarning(a.lost)}
	}
	return nil
}

// decompress returns the tar stream, whatever it is compressed with.
func decompress(in *bufio.Reader) (io.ReadCloser, error) {
	head, err := in.Peek(6)
	if len(head) == 0 && errors.Is(err, io.EOF) {
		return nil, errors.New("the tar is empty")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read tar: %w", err)
	}
	const maxWindow = 512 << 20 // of zstd --long=29, held in memory
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("read tar: %w", err)
		}
		return z, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("read tar: %w", err)
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return nil, errors.New("the tar is compressed with xz: unpack it on the way in (xz -dc FILE | samara image import - NAME)")
	case bytes.HasPrefix(head, []byte("BZh")):
		return nil, errors.New("the tar is compressed with bzip2: unpack it on the way in (bzip2 -dc FILE | samara image import - NAME)")
	}
	return io.NopCloser(in), nil
}

// explain says what an error of the stream means to a person.
func (a *archive) explain(in *endReader, err error) error {
	switch {
	case errors.Is(err, errEndsEarly), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w, after %d bytes: copy or make it again", errEndsEarly, a.meter.at.Done)
	case errors.Is(err, tar.ErrHeader) && in.read <= 512:
		return errors.New("this is no tar archive, plain or compressed with gzip or zstd")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, errDamaged):
		return fmt.Errorf("the tar is damaged, before byte %d of its contents: copy or make it again: %w", in.read, err)
	}
	return err
}

// errDamaged means that a compressed stream cannot be decompressed.
var errDamaged = errors.New("bad compressed data")

// An endReader reads a decompressed stream. It knows how far that was read, whether up to its very end, and whether an
// error came from the stream or from its decompression.
type endReader struct {
	in    io.Reader
	raw   *meteredReader
	read  int64
	ended bool
}

func (r *endReader) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.read += int64(n)
	switch {
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF), r.raw.failed:
	case errors.Is(err, io.EOF):
		r.ended = r.ended || n == 0
	default:
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return n, err
}

// A meteredReader counts what is read, until ctx ends.
type meteredReader struct {
	ctx    context.Context
	in     io.Reader
	meter  *meter
	failed bool // other than by its end
}

func (r *meteredReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.failed = true
		return 0, err
	}
	n, err := r.in.Read(p)
	r.meter.add(int64(n))
	r.failed = r.failed || err != nil && !errors.Is(err, io.EOF)
	return n, err
}
