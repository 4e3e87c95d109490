package netboot

import (
	"io"

	"github.com/samara-hpc/samara/fleet"
)

// bootBlobs are the blobs that machines without a certificate may fetch: every image version's kernel and initramfs.
// They are collected once per revision, not once per request.
type bootBlobs struct {
	revision fleet.Revision
	files    map[fleet.Digest]bootFile
}

// A bootFile is a kernel or an initramfs.
type bootFile struct {
	fleet.Blob
	phase fleet.Phase // that its arrival completes, and so which of the two it is
}

// bootable returns the boot file d, or false if no image boots with it.
func (s *Server) bootable(st fleet.State, d fleet.Digest) (bootFile, bool) {
	b := s.blobs.Load()
	if b == nil || b.revision != st.Revision() {
		b = &bootBlobs{revision: st.Revision(), files: map[fleet.Digest]bootFile{}}
		for image := range st.Images() {
			for _, v := range image.Versions {
				b.files[v.Kernel.Digest] = bootFile{v.Kernel, fleet.PhaseKernel}
				b.files[v.Initramfs.Digest] = bootFile{v.Initramfs, fleet.PhaseInitramfs}
			}
		}
		s.blobs.Store(b)
		s.shelf.keep(b.files)
	}
	f, ok := b.files[d]
	return f, ok
}

// missing returns the first of the version's boot blobs that this controller cannot open, and why. Those that it can are
// about to be fetched.
func (s *Server) missing(v fleet.ImageVersion) (fleet.Digest, error) {
	for _, want := range []fleet.Blob{v.Kernel, v.Initramfs} {
		b, err := s.cfg.Blob(want.Digest)
		if err != nil {
			return want.Digest, err
		}
		_ = b.Close()
		s.shelf.ask(want)
	}
	return fleet.Digest{}, nil
}

// A body reads a blob for one response and remembers why it could not go on.
type body struct {
	io.ReadSeeker
	err error
}

func newBody(b Blob) *body { return &body{ReadSeeker: io.NewSectionReader(b, 0, b.Size())} }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
