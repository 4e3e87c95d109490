package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/internal/blob"
)

const testRelease = "6.1.0-9-test"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openStore(t *testing.T) *blob.Store {
	t.Helper()
	s, err := blob.Open(filepath.Join(t.TempDir(), "blobs"))
	must(t, err)
	return s
}

// wantEmpty makes sure that nothing is left in a store.
func wantEmpty(t *testing.T, s *blob.Store) {
	t.Helper()
	for _, dir := range []string{s.Dir(), filepath.Join(s.Dir(), "tmp")} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			if e.Name() != "tmp" {
				t.Errorf("left behind: %s", filepath.Join(dir, e.Name()))
			}
		}
	}
}

// bzImage returns the header of a kernel for amd64 that says it is of that release.
func bzImage(release string) []byte {
	b := make([]byte, 4096)
	copy(b[0x202:], "HdrS")
	b[0x236] = 1
	binary.LittleEndian.PutUint16(b[0x20e:], 0x800)
	copy(b[0xa00:], release+" (builder@host) #1 SMP")
	return b
}

// A tarFile is a file of a test's tar.
type tarFile struct {
	name, link, text string
	flag             byte
	mode             int64
	records          map[string]string
}

// bootable are the least files of an image that boots.
func bootable() []tarFile {
	return []tarFile{
		{name: "./", flag: tar.TypeDir, mode: 0o751},
		{name: "./sbin", flag: tar.TypeSymlink, link: "usr/sbin"},
		{name: "./lib", flag: tar.TypeSymlink, link: "usr/lib"},
		{name: "./usr/sbin/init", flag: tar.TypeSymlink, link: "/lib/systemd/systemd"},
		{name: "./usr/lib/systemd/systemd", text: "init"},
		{name: "./boot/vmlinuz-" + testRelease, text: string(bzImage(testRelease))},
		{name: "./usr/lib/modules/" + testRelease + "/modules.dep", text: "kernel/fs/squashfs/squashfs.ko.xz:\nkernel/fs/overlayfs/overlay.ko:\n"},
		{name: "./usr/lib/modules/" + testRelease + "/modules.builtin", text: "kernel/drivers/block/loop.ko\n"},
		{name: "./etc/hostname", text: "node\n"},
	}
}

// without returns files without those whose name holds part.
func without(files []tarFile, part string) []tarFile {
	var kept []tarFile
	for _, f := range files {
		if !strings.Contains(f.name, part) {
			kept = append(kept, f)
		}
	}
	return kept
}

func makeTar(t *testing.T, files []tarFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Linkname: f.link, Typeflag: f.flag, Mode: f.mode, Size: int64(len(f.text)), ModTime: time.Unix(1e9, 0), PAXRecords: f.records}
		if f.flag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if f.mode == 0 {
			h.Mode = 0o755
		}
		if f.flag == tar.TypeXGlobalHeader {
			h = &tar.Header{Typeflag: f.flag, PAXRecords: f.records} // it may have nothing else
		}
		must(t, w.WriteHeader(h))
		_, err := io.WriteString(w, f.text)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// unpackTo writes the files of a test's tar into a directory.
func unpackTo(t *testing.T, dir string, files []tarFile) {
	t.Helper()
	c := exec.Command("tar", "-x", "-C", dir)
	c.Stdin = bytes.NewReader(makeTar(t, files))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
}

// noise returns n bytes that do not compress.
func noise(n int) string {
	var b strings.Builder
	for sum := sha256.Sum256(nil); b.Len() < n; sum = sha256.Sum256(sum[:]) {
		b.Write(sum[:])
	}
	return b.String()[:n]
}
