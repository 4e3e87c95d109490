package image

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/internal/blob"
	"golang.org/x/sys/unix"
)

// strangeTree makes a bootable tree with everything in it that is hard to keep.
func strangeTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.Chmod(root, 0o751))
	unpackTo(t, root, bootable())
	at := func(name string) string { return filepath.Join(root, name) }
	long := strings.Repeat("long", 50)
	for name, text := range map[string]string{
		"plain": "plain", "empty": "", "setuid": "s", "capable": "c", "new\nline": "n", "-dash": "d", "ünï€": "u", "bad\xff\xfe": "b",
		"back\\slash*?[x] 'q' \"p\"": "q", " space ": "s", strings.Repeat("x", 255): "x", "tail": noise(300_001), "zeros": string(make([]byte, 400_000)),
		"etc/ssh/ssh_host_rsa_key": "secret", "etc/ssh/ssh_host_rsa_key.pub": "public", "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"tmp/left": "excluded", "proc/1/cmdline": "excluded", "var/lib/samara/raft.db": "excluded", "boot/initrd.img-1": "useless",
		filepath.Join("deep", long, long, long, long, long, "file"): "deep",
	} {
		must(t, os.MkdirAll(filepath.Dir(at(name)), 0o755))
		must(t, os.WriteFile(at(name), []byte(text), 0o644))
	}
	for name, target := range map[string]string{
		"relative": "plain", "absolute": "/etc/hostname", "absolute-utf8": "/etc/ü", "absolute-long": "/" + long, "up-long": "../../" + long, "dot-utf8": "./ü", "nowhere": "nowhere/at/all",
	} {
		must(t, os.Symlink(target, at(name)))
	}
	must(t, os.Link(at("plain"), at("a-link")))
	must(t, os.Link(at("plain"), at("etc/ü-link")))
	must(t, os.Link(at("relative"), at("z-symlink-link")))
	must(t, unix.Mkfifo(at("fifo"), 0o640))
	must(t, unix.Mknod(at("char"), unix.S_IFCHR|0o600, int(unix.Mkdev(259, 70000))))
	must(t, unix.Mknod(at("block"), unix.S_IFBLK|0o600, int(unix.Mkdev(8, 1))))
	must(t, os.Lchown(at("plain"), 70000, 3_000_000))
	must(t, os.Lchown(at("relative"), 12, 34))
	must(t, unix.Chmod(at("setuid"), 0o6755))
	must(t, unix.Chmod(at("tmp"), 0o1777))
	netRaw := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, x := range [][3]string{
		{"capable", "security.capability", netRaw}, {"plain", "user.binary", "\x00\xff\n= \x00"}, {"etc", "user.large", noise(3000)},
		{"plain", "user.empty", ""}, {"setuid", "trusted.note", "1"}, {"relative", "trusted.link", "2"}, {"ünï€", "security.selinux", "system_u:object_r:bin_t:s0\x00"},
	} {
		must(t, unix.Lsetxattr(at(x[0]), x[1], []byte(x[2]), 0))
	}
	sparse, err := os.Create(at("sparse"))
	must(t, err)
	defer sparse.Close()
	must(t, sparse.Truncate(4<<30+3<<20))
	for _, off := range []int64{1 << 30, 4<<30 + 12345, 4<<30 + 3<<20 - 4} {
		_, err := sparse.WriteAt([]byte("data"), off)
		must(t, err)
	}
	for name, when := range map[string]time.Time{"plain": time.Unix(1, 999), "empty": time.Unix(4_000_000_000, 0), "deep": time.Unix(1e9, 0), "": time.Unix(1_234_567_890, 5)} {
		must(t, os.Chtimes(at(name), when, when))
	}
	return root
}

func TestEverythingSurvivesTheRoundTrip(t *testing.T) {
	root := strangeTree(t)
	store := openStore(t)
	fromDir, err := Import(t.Context(), store, Options{Dir: root, Level: 1})
	must(t, err)

	gnuTar := exec.Command("tar", "--create", "--format=posix", "--xattrs", "--xattrs-include=*", "--sparse", "--sort=name", "-C", root, ".")
	stream, err := gnuTar.StdoutPipe()
	must(t, err)
	must(t, gnuTar.Start())
	fromTar, err := Import(t.Context(), store, Options{Tar: stream, Level: 1, Processors: 1})
	must(t, err)
	must(t, gnuTar.Wait())
	if fromDir.Root != fromTar.Root || fromDir.Kernel != fromTar.Kernel || fromDir.Files != fromTar.Files || fromDir.Bytes != fromTar.Bytes {
		t.Errorf("the same tree made other bytes:\nas a directory %+v\nas a tar       %+v", fromDir, fromTar)
	}
	if fromDir.Release != testRelease || fromDir.Arch != "amd64" {
		t.Errorf("kernel: got %s for %s", fromDir.Release, fromDir.Arch)
	}
	wantWarnings(t, fromDir.Warnings, "/boot/initrd.img-1 takes 1 MiB", "/etc/machine-id is not empty", "/etc/ssh/ssh_host_rsa_key is a secret")
	wantWarnings(t, fromTar.Warnings, "/boot/initrd.img-1 takes 1 MiB", "/etc/machine-id is not empty", "/etc/ssh/ssh_host_rsa_key is a secret")

	mounted := mount(t, store, fromDir)
	for _, gone := range []string{"tmp/left", "proc/1", "var/lib/samara/raft.db"} {
		must(t, os.RemoveAll(filepath.Join(root, gone)))
	}
	must(t, os.Chtimes(filepath.Join(root, "tmp"), time.Time{}, modTime(t, filepath.Join(mounted, "tmp"))))
	must(t, os.Chtimes(filepath.Join(root, "proc"), time.Time{}, modTime(t, filepath.Join(mounted, "proc"))))
	must(t, os.Chtimes(filepath.Join(root, "var/lib/samara"), time.Time{}, modTime(t, filepath.Join(mounted, "var/lib/samara"))))
	want, got := describe(t, root), describe(t, mounted)
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%q:\ngot  %s\nwant %s", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d files, want %d", len(got), len(want))
	}
	if used := blocks(t, filepath.Join(mounted, "sparse")); used > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", used)
	}
}

func wantWarnings(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	if len(got) != len(want) {
		t.Errorf("warnings: got %q, want %q", got, want)
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("warning: got %q, want %q", got[i], want[i])
		}
	}
}

func mount(t *testing.T, store *blob.Store, r Result) string {
	t.Helper()
	file, err := store.Path(t.Context(), r.Root.Digest)
	must(t, err)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop,ro", "-t", "squashfs", file, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

func modTime(t *testing.T, name string) time.Time {
	t.Helper()
	info, err := os.Lstat(name)
	must(t, err)
	return info.ModTime()
}

func blocks(t *testing.T, name string) int64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(name, &st))
	return st.Blocks * 512
}

// describe returns all that is to be kept of every file below root, by name.
func describe(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	first := map[uint64]string{}
	must(t, filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(full, &st); err != nil {
			return err
		}
		name, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("mode %o owner %d:%d time %d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec)
		if !d.IsDir() {
			if first[st.Ino] == "" {
				first[st.Ino] = name
			}
			line += fmt.Sprintf(" links %d first %q size %d device %d:%d", st.Nlink, first[st.Ino], st.Size, unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(full)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" to %q", target)
		}
		if d.Type().IsRegular() {
			line += " sum " + sum(t, full)
		}
		all[name] = line + attributesOf(t, full)
		return nil
	}))
	return all
}

func attributesOf(t *testing.T, full string) string {
	t.Helper()
	attrs, err := new(tree).attributes(full)
	must(t, err)
	line := ""
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		line += fmt.Sprintf(" %s=%q", name, attrs[name])
	}
	return line
}

// sum returns the hash of a file's data and where it is: chunks of zeros count as holes, which saves hashing GiBs of
// them.
func sum(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	in := &fileReader{ctx: t.Context(), tree: &tree{meter: newMeter(nil, StagePack, 0)}, file: f, size: info.Size(), sparse: true}
	h := sha256.New()
	buf, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := 0; ; off++ {
		n, err := io.ReadFull(in, buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			fmt.Fprintf(h, "%d:%s", off, buf[:n])
		}
		if err != nil {
			return fmt.Sprintf("%x", h.Sum(nil)[:8])
		}
	}
}
