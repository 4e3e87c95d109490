package image

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A fileReader reads exactly the announced number of bytes from a file that may change meanwhile. What is missing is
// zeros, what is too much is left out, as GNU tar does. Holes are not read.
type fileReader struct {
	ctx    context.Context // of the import
	tree   *tree
	file   *os.File
	size   int64
	sparse bool // the file may have holes

	at    int64
	until int64 // what is from at to here is all of one kind
	hole  bool
}

// Read implements io.Reader.
func (r *fileReader) Read(p []byte) (int, error) {
	if r.at == r.size {
		return 0, io.EOF
	}
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.at == r.until {
		r.locate()
	}
	n := int(min(int64(len(p)), r.until-r.at))
	if r.hole {
		clear(p[:n])
	} else {
		var err error
		n, err = r.file.ReadAt(p[:n], r.at)
		if n == 0 && errors.Is(err, io.EOF) {
			r.tree.changed++
			r.hole, r.until = true, r.size
			return 0, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	r.at += int64(n)
	r.tree.meter.add(int64(n))
	return n, nil
}

// locate finds out what comes next: data or a hole, and up to where. A file system that cannot tell has only data.
func (r *fileReader) locate() {
	r.hole, r.until = false, r.size
	if !r.sparse {
		return
	}
	fd := int(r.file.Fd())
	data, err := unix.Seek(fd, r.at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		r.hole = true
	case err != nil:
	case data > r.at:
		r.hole, r.until = true, min(data, r.size)
	default:
		if hole, err := unix.Seek(fd, r.at, unix.SEEK_HOLE); err == nil && hole > r.at {
			r.until = min(hole, r.size)
		}
	}
}
