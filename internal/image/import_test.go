package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/samara-hpc/samara/internal/blob"
)

func TestTarStreamsAreToldApartByTheirFirstBytes(t *testing.T) {
	plain := makeTar(t, bootable())
	var want Result
	for name, pack := range map[string]func(io.Writer) (io.WriteCloser, error){
		"plain": func(w io.Writer) (io.WriteCloser, error) { return tarWriter{w}, nil },
		"gzip":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"zstd":  func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	} {
		t.Run(name, func(t *testing.T) {
			packed := compressed(t, plain, pack)
			var seen []Progress
			store := openStore(t)
			// A byte at a time: nothing may depend on how the stream is cut up.
			got, err := Import(t.Context(), store, Options{
				Tar: iotest.OneByteReader(bytes.NewReader(packed)), TarSize: int64(len(packed)), Progress: func(p Progress) { seen = append(seen, p) },
			})
			must(t, err)
			if want.Root.IsZero() {
				want = got
			}
			if got.Root != want.Root || got.Kernel != want.Kernel {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if err := store.Verify(t.Context(), got.Root.Digest); err != nil {
				t.Error(err)
			}
			packing := slices.DeleteFunc(slices.Clone(seen), func(p Progress) bool { return p.Stage != StagePack })
			if last := packing[len(packing)-1]; last.Done != int64(len(packed)) || last.Total != int64(len(packed)) {
				t.Errorf("progress: got %+v at the end, want %d bytes", last, len(packed))
			}
			if last := seen[len(seen)-1]; last.Stage != StageStore {
				t.Errorf("progress: got %+v at last", last)
			}
		})
	}
}

type tarWriter struct{ io.Writer }

func (tarWriter) Close() error { return nil }

func compressed(t *testing.T, b []byte, pack func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pack(&out)
	must(t, err)
	_, err = w.Write(b)
	must(t, err)
	must(t, w.Close())
	return out.Bytes()
}

func TestTarThatEndsEarlyIsRefused(t *testing.T) {
	plain := makeTar(t, append(bootable(), tarFile{name: "last", text: strings.Repeat("x", 100)}))
	zipped := compressed(t, plain, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	zst := compressed(t, plain, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
	end := len(plain) - 1024 // where the two blocks begin that mark the end
	for name, stream := range map[string][]byte{
		"in a header":             plain[:end-1024+100],
		"before a body":           plain[:end-512],
		"in a body":               plain[:end-512+50],
		"in the padding":          plain[:end-512+200],
		"between two files":       plain[:end-1024],
		"without the end's mark":  plain[:end],
		"in the end's mark":       plain[:end+512],
		"in the first file":       plain[:700],
		"gzip without its end":    zipped[:len(zipped)-9],
		"gzip without its sum":    zipped[:len(zipped)-3],
		"gzip in the middle":      zipped[:len(zipped)/2],
		"zstd without its end":    zst[:len(zst)-5],
		"zstd in the middle":      zst[:len(zst)/2],
		"gzip around a short tar": compressed(t, plain[:end], func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
	} {
		t.Run(name, func(t *testing.T) {
			store := openStore(t)
			_, err := Import(t.Context(), store, Options{Tar: bytes.NewReader(stream)})
			wantOneLine(t, err, "the tar ends early")
			wantEmpty(t, store)
		})
	}
}

func wantOneLine(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line with %q", err, part)
	}
}

func flipped(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

func TestWhatCannotBeImported(t *testing.T) {
	boot := bootable()
	dep := func(text string) []tarFile {
		return append(without(boot, "modules.dep"), tarFile{name: "usr/lib/modules/" + testRelease + "/modules.dep", text: text})
	}
	kernel := func(b []byte) []tarFile {
		return append(without(boot, "vmlinuz"), tarFile{name: "boot/vmlinuz-" + testRelease, text: string(b)})
	}
	old := bzImage(testRelease)
	old[0x236] = 0
	stream := func(files ...tarFile) []byte { return makeTar(t, files) }
	with := func(more ...tarFile) []byte { return makeTar(t, append(slices.Clone(boot), more...)) }
	plain := stream(boot...)
	zipped := compressed(t, plain, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	for name, c := range map[string]struct {
		tar  []byte
		want string
	}{
		"nothing":               {nil, "the tar is empty"},
		"no files":              {stream(), "there is nothing to import"},
		"no tar":                {[]byte(strings.Repeat("a text that is no tar. ", 100)), "this is no tar archive"},
		"a short text":          {[]byte("no tar"), "the tar ends early"},
		"xz":                    {[]byte("\xfd7zXZ\x00 and so on"), "xz -dc"},
		"bzip2":                 {[]byte("BZh91AY and so on"), "bzip2 -dc"},
		"damaged header":        {flipped(plain, 512*3+5), "damaged"},
		"damaged gzip":          {flipped(zipped, len(zipped)-6), "damaged"},
		"damaged deflate":       {flipped(zipped, len(zipped)/2), "damaged"},
		"no init":               {stream(without(boot, "usr/sbin/init")...), "install systemd-sysv"},
		"init leads nowhere":    {stream(without(boot, "systemd/systemd")...), "install systemd-sysv"},
		"no kernel":             {stream(without(boot, "vmlinuz")...), "apt-get install linux-image-amd64"},
		"no modules":            {stream(without(boot, "modules.dep")...), "has no /lib/modules/" + testRelease + "/modules.dep"},
		"no squashfs driver":    {stream(dep("kernel/fs/overlayfs/overlay.ko:\nkernel/x/nosquashfs.ko: y/squashfs.konfig\n")...), "no squashfs driver"},
		"no overlay driver":     {stream(dep("kernel/fs/squashfs/squashfs.ko:\n")...), "no overlay driver"},
		"no loop driver":        {stream(without(boot, "modules.builtin")...), "no loop driver"},
		"zstd not configured":   {with(tarFile{name: "boot/config-" + testRelease, text: "#\n# CONFIG_SQUASHFS_ZSTD is not set\n"}), "import it with another compression"},
		"kernel of 32 bits":     {stream(kernel(old)...), "32-bit"},
		"kernel of a text":      {stream(kernel([]byte("not a kernel"))...), "no Linux kernel"},
		"kernel misnamed":       {stream(kernel(bzImage("5.4.0"))...), "says that it is 5.4.0"},
		"out of the image":      {with(tarFile{name: "../etc/passwd", text: "x"}), "leads out of the image"},
		"link out of the image": {with(tarFile{name: "a", flag: tar.TypeLink, link: "../../etc/passwd"}), "leads out of the image"},
		"link to nothing":       {with(tarFile{name: "a", flag: tar.TypeLink, link: "b"}), "does not come before it"},
		"link to itself":        {with(tarFile{name: "a", flag: tar.TypeLink, link: "a"}), "does not come before it"},
		"file twice":            {with(tarFile{name: "etc/hostname", text: "b"}), `"etc/hostname" is there twice`},
		"file over directory":   {with(tarFile{name: "usr/lib", text: "b"}), "is a directory and something else"},
		"below a file":          {with(tarFile{name: "etc/hostname/x", text: "b"}), "which is no directory"},
		"below a symlink":       {with(tarFile{name: "lib/x", text: "b"}), "which is no directory"},
		"name too long":         {with(tarFile{name: strings.Repeat("x", 256), text: "b"}), "a name may have 255"},
		"path too long":         {with(tarFile{name: strings.Repeat("x/", 2100) + "x", text: "b"}), "it may have 4095"},
		"root no directory":     {stream(tarFile{name: "./.", text: "b"}), "is no directory"},
	} {
		t.Run(name, func(t *testing.T) {
			store := openStore(t)
			_, err := Import(t.Context(), store, Options{Tar: bytes.NewReader(c.tar)})
			wantOneLine(t, err, c.want)
			wantEmpty(t, store)
		})
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	stream := func() io.Reader { return bytes.NewReader(makeTar(t, bootable())) }
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"no source":          {Options{}, "want either"},
		"two sources":        {Options{Dir: "/", Tar: stream()}, "want either"},
		"no such directory":  {Options{Dir: "/nonexistent"}, "no such file"},
		"a file":             {Options{Dir: file}, "is no directory"},
		"level too high":     {Options{Tar: stream(), Level: 23}, "want 1 to 22"},
		"unknown":            {Options{Tar: stream(), Compression: "brotli"}, "want zstd, xz or gzip"},
		"a level without it": {Options{Tar: stream(), Compression: XZ, Level: 5}, "has no level"},
	} {
		store := openStore(t)
		_, err := Import(t.Context(), store, c.options)
		if err == nil {
			t.Errorf("%s: got no error", name)
			continue
		}
		wantOneLine(t, err, c.want)
		wantEmpty(t, store)
	}
}

func TestOtherCompressions(t *testing.T) {
	for _, compression := range []string{XZ, Gzip} {
		if _, err := Import(t.Context(), openStore(t), Options{Tar: bytes.NewReader(makeTar(t, bootable())), Compression: compression}); err != nil {
			t.Errorf("%s: %v", compression, err)
		}
	}
}

// TestOrderOfATarDoesNotLoseDirectories has what GNU tar never writes and container tools do: directories after their
// contents, twice, or not at all.
func TestOrderOfATarDoesNotLoseDirectories(t *testing.T) {
	files := append(without(bootable(), "hostname"),
		tarFile{name: "late/file", text: "x"}, tarFile{name: "late", flag: tar.TypeDir, mode: 0o2750},
		tarFile{name: "late/", flag: tar.TypeDir, mode: 0o700}, tarFile{name: "/never/mentioned/file", text: "x"},
		tarFile{flag: tar.TypeXGlobalHeader, records: map[string]string{"comment": "x"}},
		tarFile{name: "nothing/", flag: tar.TypeDir, records: map[string]string{"SCHILY.xattr.user.x": "1", "SCHILY.acl.access": "user::rwx"}})
	store := openStore(t)
	r, err := Import(t.Context(), store, Options{Tar: bytes.NewReader(makeTar(t, files))})
	must(t, err)
	wantWarnings(t, r.Warnings, "1 extended attributes")
	mounted := mount(t, store, r)
	for name, want := range map[string]os.FileMode{"late": 0o2750, "never": 0o755, "never/mentioned": 0o755, "nothing": 0o755} {
		info, err := os.Stat(filepath.Join(mounted, name))
		must(t, err)
		if got := info.Mode() & 0o7777; got.Perm() != want.Perm() || (info.Mode()&os.ModeSetgid != 0) != (want&0o2000 != 0) {
			t.Errorf("%s: got mode %v, want %o", name, info.Mode(), want)
		}
	}
}

func TestMissingToolsAreNamedWithTheirPackage(t *testing.T) {
	for _, missing := range []string{"mksquashfs", "unsquashfs"} {
		t.Run(missing, func(t *testing.T) {
			bin := t.TempDir()
			for _, name := range []string{"mksquashfs", "unsquashfs"} {
				real, err := exec.LookPath(name)
				must(t, err)
				if name != missing {
					must(t, os.Symlink(real, filepath.Join(bin, name)))
				}
			}
			t.Setenv("PATH", bin)
			store := openStore(t)
			_, err := Import(t.Context(), store, Options{Tar: bytes.NewReader(makeTar(t, bootable()))})
			wantOneLine(t, err, missing+" is not installed: apt-get install squashfs-tools")
			wantEmpty(t, store)

			must(t, os.WriteFile(filepath.Join(bin, missing), []byte("#!/bin/sh\necho '"+missing+" version 4.4-git.1 (2021/03/01)'\n"), 0o755))
			_, err = Import(t.Context(), store, Options{Tar: bytes.NewReader(makeTar(t, bootable()))})
			wantOneLine(t, err, "install squashfs-tools 4.5 or newer")
			wantEmpty(t, store)
		})
	}
}

func TestCancelledImportLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	endless := makeTar(t, append(bootable(), tarFile{name: "large", text: noise(1 << 20)}))
	body := io.MultiReader(bytes.NewReader(endless[:len(endless)-512<<10]), readerFunc(func([]byte) (int, error) {
		cancel() // in the middle of a file
		return 0, nil
	}))
	store := openStore(t)
	if _, err := Import(ctx, store, Options{Tar: body}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantEmpty(t, store)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestBrokenSourceIsReportedAsItBroke(t *testing.T) {
	torn := errors.New("connection torn")
	whole := makeTar(t, bootable())
	store := openStore(t)
	_, err := Import(t.Context(), store, Options{Tar: io.MultiReader(bytes.NewReader(whole[:3000]), iotest.ErrReader(torn))})
	if !errors.Is(err, torn) {
		t.Errorf("got %v", err)
	}
	wantEmpty(t, store)
}

func TestDirectoryThatHoldsItsOwnStore(t *testing.T) {
	root := t.TempDir()
	unpackTo(t, root, bootable())
	store, err := blob.Open(filepath.Join(root, "srv/blobs"))
	must(t, err)
	first, err := Import(t.Context(), store, Options{Dir: root})
	must(t, err)
	mounted := mount(t, store, first)
	entries, err := os.ReadDir(filepath.Join(mounted, "srv/blobs"))
	if err != nil || len(entries) != 0 {
		t.Errorf("got %v and %v, want an empty directory", entries, err)
	}
}

func TestFilesThatChangeWhileTheyAreRead(t *testing.T) {
	root := t.TempDir()
	unpackTo(t, root, bootable())
	growing, shrinking := filepath.Join(root, "etc/growing"), filepath.Join(root, "etc/shrinking")
	must(t, os.WriteFile(growing, []byte("before"), 0o644))
	must(t, os.WriteFile(shrinking, []byte("before"), 0o644))
	src := &tree{root: root, meter: newMeter(nil, StagePack, 0)}
	got := map[string]string{}
	must(t, src.each(t.Context(), func(e *entry) error {
		if e.kind != regular {
			return nil
		}
		switch e.name {
		case "etc/growing":
			must(t, os.WriteFile(growing, []byte("before and after"), 0o644))
		case "etc/shrinking":
			must(t, os.Truncate(shrinking, 3))
		}
		b, err := io.ReadAll(e.body)
		got[e.name] = string(b)
		return err
	}))
	if got["etc/growing"] != "before" || got["etc/shrinking"] != "bef\x00\x00\x00" {
		t.Errorf("got %q and %q", got["etc/growing"], got["etc/shrinking"])
	}
	wantWarnings(t, src.warnings(), "1 files shrank")
}

func TestExtractModules(t *testing.T) {
	at := "usr/lib/modules/" + testRelease
	files := append(bootable(), tarFile{name: "boot/config-" + testRelease, text: "\nCONFIG_SQUASHFS_ZSTD=y\n"},
		tarFile{name: at + "/kernel/fs/overlayfs/overlay.ko", text: "driver"}, tarFile{name: "usr/lib/firmware/card.fw", text: "firmware"},
		tarFile{name: "usr/lib/modules/5.0/modules.dep", text: "other"})
	store := openStore(t)
	r, err := Import(t.Context(), store, Options{Tar: bytes.NewReader(makeTar(t, files))})
	must(t, err)
	for name, firmware := range map[string]bool{"without firmware": false, "with firmware": true} {
		m, err := ExtractModules(t.Context(), store, r.Root.Digest, testRelease, firmware)
		must(t, err)
		wantText(t, filepath.Join(m.Dir, "kernel/fs/overlayfs/overlay.ko"), "driver")
		wantText(t, m.Config, "\nCONFIG_SQUASHFS_ZSTD=y\n")
		if (m.Firmware != "") != firmware {
			t.Errorf("%s: got firmware in %q", name, m.Firmware)
		}
		if firmware {
			wantText(t, filepath.Join(m.Firmware, "card.fw"), "firmware")
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(m.Dir), "5.0")); err == nil {
			t.Errorf("%s: another release is there as well", name)
		}
		must(t, m.Remove())
	}
	for name, c := range map[string]struct{ release, want string }{
		"another release": {"5.1", "the image has none"}, "a path": {"../modules/" + testRelease, "is no kernel release"}, "nothing": {"", "is no kernel release"},
	} {
		if _, err := ExtractModules(t.Context(), store, r.Root.Digest, c.release, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	file, err := store.Path(t.Context(), r.Root.Digest)
	must(t, err)
	b, err := os.ReadFile(file)
	must(t, err)
	must(t, os.Chmod(file, 0o644))
	must(t, os.WriteFile(file, flipped(b, len(b)/2), 0o644))
	if _, err := ExtractModules(t.Context(), store, r.Root.Digest, testRelease, false); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("damaged image: got %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(store.Dir(), "tmp")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func wantText(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s: got %q and %v, want %q", file, got, err, want)
	}
}
