package swarmlab

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// noise returns size bytes that nothing compresses, the same for the same seed.
func noise(size int64, seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// release is of the kernel in the images.
const release = "6.1.0-9-lab"

// kernel returns the header of a kernel for amd64, which is all that is looked at of one that nobody boots
// (Documentation/arch/x86/boot.rst).
func kernel() []byte {
	b := make([]byte, 4096)
	copy(b[0x202:], "HdrS")
	b[0x236] = 1 // XLF_KERNEL_64
	binary.LittleEndian.PutUint16(b[0x20e:], 0x800)
	copy(b[0xa00:], release+" (builder@host) #1 SMP")
	return b
}

// WriteRootfs writes a tar file with the least root filesystem that can be imported, and noise of that size in it.
// Equal arguments make equal images.
func WriteRootfs(path string, size int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buffered := bufio.NewWriterSize(f, 1<<20)
	w := tar.NewWriter(buffered)
	modules := "usr/lib/modules/" + release
	for _, file := range []struct{ name, link, text string }{
		{"lib", "usr/lib", ""},
		{"sbin", "usr/sbin", ""},
		{"usr/sbin/init", "", "init"},
		{"boot/vmlinuz-" + release, "", string(kernel())},
		{modules + "/modules.dep", "", "kernel/squashfs.ko:\nkernel/overlay.ko:\n"},
		{modules + "/modules.builtin", "", "kernel/drivers/block/loop.ko\n"},
		{modules + "/kernel/squashfs.ko", "", "module"},
		{modules + "/kernel/overlay.ko", "", "module"},
	} {
		h := &tar.Header{Name: file.name, Mode: 0o755, Size: int64(len(file.text)), Linkname: file.link, Typeflag: tar.TypeReg}
		if file.link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(w, file.text); err != nil {
			return err
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "noise", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := io.Copy(w, noise(size, seed)); err != nil {
		return err
	}
	return errors.Join(w.Close(), buffered.Flush(), f.Close())
}

// writeBlob writes noise of that size into dir, under its digest, and returns what it is and the info dictionary of its
// torrent.
func writeBlob(dir string, size int64, seed uint64) (fleet.Blob, []byte, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, noise(size, seed)); err != nil {
		return fleet.Blob{}, nil, err
	}
	b := fleet.Blob{Digest: fleet.Digest(sum.Sum(nil)), Size: size}
	f, err := os.Create(filepath.Join(dir, b.Digest.String()))
	if err != nil {
		return fleet.Blob{}, nil, err
	}
	defer f.Close()
	if _, err := io.Copy(f, noise(size, seed)); err != nil {
		return fleet.Blob{}, nil, err
	}
	info, err := seeder.MakeInfo(noise(size, seed), size)
	return b, info, errors.Join(err, f.Close())
}
