package initramfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"github.com/ulikunitz/xz"
)

const release = "6.1.0-1-test"

// kernel is a small kernel's directory of modules: names and texts. A module's text is its own name.
var kernel = map[string]string{
	"modules.dep": `kernel/fs/squashfs/squashfs.ko:
kernel/fs/overlayfs/overlay.ko.gz:
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio-pci.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/net/phy/libphy.ko:
kernel/drivers/net/phy/realtek.ko.zst: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/r8169.ko: kernel/drivers/net/phy/libphy.ko
kernel/lib/libcrc32c.ko:
kernel/crypto/crc32c_generic.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/drivers/net/bnx2x.ko: kernel/lib/libcrc32c.ko
kernel/drivers/net/mlx4_core.ko:
kernel/drivers/net/mlx4_en.ko: kernel/drivers/net/mlx4_core.ko
kernel/drivers/net/igb.ko: kernel/drivers/i2c/gone.ko
kernel/drivers/gpu/radeon.ko:
`,
	"modules.builtin": "kernel/drivers/block/loop.ko\nkernel/net/packet/af_packet.ko\n",
	"modules.softdep": `# Soft dependencies extracted from modules themselves.
softdep cifs gcm
softdep libcrc32c pre: crypto-crc32c
softdep r8169 pre: realtek
softdep realtek pre: r8169
`,
	"modules.alias": `# Aliases extracted from modules themselves.
alias crypto-crc32c crc32c_intel
alias crypto-crc32c crc32c_generic
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000001v* virtio_net
alias pci:v000015B3d00001003sv*sd*bc*sc*i* mlx4_core
alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169
alias pci:v00001002d*sv*sd*bc03sc*i* radeon
alias devname:net/virtio virtio_net
alias [ virtio_net
alias fs-overlay overlay
alias a pattern with spaces overlay
`,
}

// pack compresses a module as its file's name says.
func pack(t *testing.T, name string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var z io.WriteCloser
	var err error
	switch path.Ext(name) {
	case ".gz":
		z = gzip.NewWriter(&b)
	case ".xz":
		z, err = xz.NewWriter(&b)
	case ".zst":
		z, err = zstd.NewWriter(&b)
	default:
		return text
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeKernel makes a directory of modules, in the order of names if it is not reversed, as of some time.
func writeKernel(t *testing.T, change map[string]string, reversed bool, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{}
	for name, text := range kernel {
		files[name] = []byte(text)
	}
	for name, text := range change {
		files[name] = []byte(text)
	}
	for line := range strings.Lines(kernel["modules.dep"]) {
		name, _, _ := strings.Cut(line, ":")
		files[name] = pack(t, name, []byte("module "+moduleName(name)))
	}
	names := []string{}
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if reversed {
		slices.Reverse(names)
	}
	for _, name := range names {
		full := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, files[name], 0o600))
		must(t, os.Chtimes(full, at, at))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(t *testing.T, change map[string]string) Options {
	return Options{Agent: []byte("the agent"), Modules: writeKernel(t, change, false, time.Now()), Release: release}
}

// unpack builds an initramfs and returns its records by name.
func unpack(t *testing.T, o Options) (Summary, map[string]cpio.Record) {
	t.Helper()
	var b bytes.Buffer
	sum, err := Build(&b, o)
	must(t, err)
	in := io.Reader(&b)
	switch sum.Compression {
	case "zstd":
		in, err = zstd.NewReader(&b)
	case "gzip":
		in, err = gzip.NewReader(&b)
	}
	must(t, err)
	plain, err := io.ReadAll(in)
	must(t, err)
	list, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(plain)))
	must(t, err)
	records := map[string]cpio.Record{}
	for _, r := range list {
		if _, twice := records[r.Name]; twice {
			t.Errorf("%s is there twice", r.Name)
		}
		if _, ok := records[path.Dir(r.Name)]; !ok && path.Dir(r.Name) != "." && r.Name != cpio.Trailer {
			t.Errorf("%s comes before its directory", r.Name)
		}
		records[r.Name] = r
	}
	return sum, records
}

func text(t *testing.T, r cpio.Record) string {
	t.Helper()
	if r.ReaderAt == nil {
		return ""
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
	must(t, err)
	return string(b)
}

func TestInitramfsHoldsWhatItsFormatSays(t *testing.T) {
	o := options(t, nil)
	o.Shell = []byte("a static busybox")
	_, records := unpack(t, o)
	for name, want := range map[string]struct {
		mode         uint64
		major, minor uint64
		text         string
	}{
		"init":         {mode: cpio.S_IFREG | 0o755, text: "the agent"},
		"dev/console":  {mode: cpio.S_IFCHR | 0o600, major: 5, minor: 1},
		"dev/null":     {mode: cpio.S_IFCHR | 0o666, major: 1, minor: 3},
		"dev":          {mode: cpio.S_IFDIR | 0o755},
		"proc":         {mode: cpio.S_IFDIR | 0o555},
		"sys":          {mode: cpio.S_IFDIR | 0o555},
		"run":          {mode: cpio.S_IFDIR | 0o755},
		"tmp":          {mode: cpio.S_IFDIR | 0o1777},
		"sysroot":      {mode: cpio.S_IFDIR | 0o755},
		"lib/firmware": {mode: cpio.S_IFDIR | 0o755},
		"bin/busybox":  {mode: cpio.S_IFREG | 0o755, text: "a static busybox"},
		"bin/sh":       {mode: cpio.S_IFLNK | 0o777, text: "busybox"},
		"lib/modules/" + release + "/kernel/drivers/net/virtio_net.ko":       {mode: cpio.S_IFREG | 0o644, text: "module virtio_net"},
		"lib/modules/" + release + "/kernel/drivers/net/phy/realtek.ko":      {mode: cpio.S_IFREG | 0o644, text: "module realtek"},
		"lib/modules/" + release + "/kernel/fs/overlayfs/overlay.ko":         {mode: cpio.S_IFREG | 0o644, text: "module overlay"},
		"lib/modules/" + release + "/kernel/arch/x86/crypto/crc32c-intel.ko": {mode: cpio.S_IFREG | 0o644, text: "module crc32c_intel"},
	} {
		r, ok := records[name]
		if !ok {
			t.Errorf("%s is not there", name)
			continue
		}
		if r.Mode != want.mode || r.Rmajor != want.major || r.Rminor != want.minor || text(t, r) != want.text {
			t.Errorf("%s: got mode %o, device %d:%d, %q, want %+v", name, r.Mode, r.Rmajor, r.Rminor, text(t, r), want)
		}
		if r.UID != 0 || r.GID != 0 || r.MTime != 0 || r.NLink > 1 {
			t.Errorf("%s: got %v, want root's, of 1970, with one name", name, r.Info)
		}
	}
	for name := range records {
		if strings.Contains(name, "radeon") || strings.Contains(name, "igb") {
			t.Errorf("%s has no place in it", name)
		}
	}
}

func TestListsForTheAgent(t *testing.T) {
	at := "/lib/modules/" + release + "/kernel/"
	sum, records := unpack(t, options(t, nil))
	for name, want := range map[string]string{
		"lib/samara/load": "squashfs\noverlay\n",
		"lib/samara/modules": "squashfs " + at + "fs/squashfs/squashfs.ko\n" +
			"overlay " + at + "fs/overlayfs/overlay.ko\n" +
			"virtio " + at + "drivers/virtio/virtio.ko\n" +
			"virtio_ring " + at + "drivers/virtio/virtio_ring.ko virtio\n" +
			"virtio_pci " + at + "drivers/virtio/virtio-pci.ko virtio virtio_ring\n" +
			"virtio_net " + at + "drivers/net/virtio_net.ko virtio virtio_ring\n" +
			"crc32c_intel " + at + "arch/x86/crypto/crc32c-intel.ko\n" +
			"crc32c_generic " + at + "crypto/crc32c_generic.ko\n" +
			"libcrc32c " + at + "lib/libcrc32c.ko ?crc32c_intel ?crc32c_generic\n" +
			"bnx2x " + at + "drivers/net/bnx2x.ko ?crc32c_intel ?crc32c_generic libcrc32c\n" +
			"mlx4_core " + at + "drivers/net/mlx4_core.ko\n" +
			"mlx4_en " + at + "drivers/net/mlx4_en.ko mlx4_core\n" +
			"libphy " + at + "drivers/net/phy/libphy.ko\n" +
			"realtek " + at + "drivers/net/phy/realtek.ko libphy\n" +
			"r8169 " + at + "drivers/net/r8169.ko libphy ?realtek\n",
		"lib/samara/modules.alias": "fs-overlay overlay\n" +
			"pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n" +
			"virtio:d00000001v* virtio_net\n" +
			"crypto-crc32c crc32c_intel\n" +
			"crypto-crc32c crc32c_generic\n" +
			"pci:v000015B3d00001003sv*sd*bc*sc*i* mlx4_core\n" +
			"pci:v000015B3d00001003sv*sd*bc*sc*i* mlx4_en\n" +
			"pci:v000010ECd00008168sv*sd*bc*sc*i* r8169\n",
	} {
		if got := text(t, records[name]); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
	if want := "squashfs"; len(sum.Modules) != 15 || sum.Modules[0] != want {
		t.Errorf("summary: got %q", sum.Modules)
	}
}

func TestSameInputMakesSameBytes(t *testing.T) {
	build := func(reversed bool, at time.Time) []byte {
		var b bytes.Buffer
		// A large agent, so that the compressor has several blocks to get out of order.
		o := Options{Agent: bytes.Repeat([]byte("samara seeds "), 1<<20), Modules: writeKernel(t, nil, reversed, at), Release: release}
		_, err := Build(&b, o)
		must(t, err)
		return b.Bytes()
	}
	first := build(false, time.Now())
	for range 3 {
		if again := build(true, time.Unix(1e9, 0)); !bytes.Equal(first, again) {
			t.Fatalf("%d bytes and %d bytes, which differ", len(first), len(again))
		}
	}
}

func TestCompressionIsOneThatTheKernelReads(t *testing.T) {
	config := func(text string) string {
		name := filepath.Join(t.TempDir(), "config")
		must(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	for name, c := range map[string]struct{ release, config, want string }{
		"new":                  {"6.1.0-1-amd64", "", "zstd"},
		"first with zstd":      {"5.9", "", "zstd"},
		"last without":         {"5.8.18", "", "gzip"},
		"Red Hat 8":            {"4.18.0-553.el8_10.x86_64", "", "gzip"},
		"strange":              {"mainline", "", "gzip"},
		"configured":           {"6.1.0", config("#\nCONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n"), "zstd"},
		"configured without":   {"6.1.0", config("#\nCONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n"), "gzip"},
		"configured with none": {"6.1.0", config("#\n# CONFIG_RD_GZIP is not set\n"), "none"},
	} {
		o := options(t, nil)
		o.Release, o.Config = c.release, c.config
		sum, records := unpack(t, o)
		if sum.Compression != c.want || len(records) < 10 {
			t.Errorf("%s: got %s and %d records, want %s", name, sum.Compression, len(records), c.want)
		}
	}
}

func TestWhatCannotBeBuilt(t *testing.T) {
	for name, c := range map[string]struct {
		change func(o *Options)
		files  map[string]string
		want   string
	}{
		"no agent":        {change: func(o *Options) { o.Agent = nil }, want: "there is no agent"},
		"no release":      {change: func(o *Options) { o.Release = "" }, want: "is no kernel release"},
		"release a path":  {change: func(o *Options) { o.Release = "../../etc" }, want: "is no kernel release"},
		"no modules":      {change: func(o *Options) { o.Modules = filepath.Join(o.Modules, "none") }, want: "no such file"},
		"no modules.dep":  {change: func(o *Options) { o.Modules = filepath.Join(o.Modules, "kernel") }, want: "run depmod"},
		"no config":       {change: func(o *Options) { o.Config = "/nonexistent" }, want: "no such file"},
		"no loop":         {files: map[string]string{"modules.builtin": ""}, want: "no module loop"},
		"no squashfs":     {files: map[string]string{"modules.dep": "kernel/fs/overlayfs/overlay.ko.gz:\n"}, want: "no module squashfs"},
		"file gone":       {change: func(o *Options) { _ = os.Remove(filepath.Join(o.Modules, "kernel/fs/squashfs/squashfs.ko")) }, want: "no such file"},
		"bad modules.dep": {files: map[string]string{"modules.dep": "kernel/fs/squashfs/squashfs.ko\n"}, want: "want \"FILE: FILE...\""},
		"a path with a space": {
			files: map[string]string{"modules.dep": "kernel/fs/squash fs/squashfs.ko:\n"}, want: "want \"FILE: FILE...\""},
		"out of the directory": {
			files: map[string]string{"modules.dep": "../../../../../../etc/squashfs.ko:\nkernel/fs/overlayfs/overlay.ko.gz:\n"}, want: "escapes"},
		"torn gzip": {
			files:  map[string]string{"modules.alias": ""},
			change: func(o *Options) { _ = os.Truncate(filepath.Join(o.Modules, "kernel/fs/overlayfs/overlay.ko.gz"), 20) }, want: "overlay"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, c.files)
			if c.change != nil {
				c.change(&o)
			}
			_, err := Build(io.Discard, o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
		})
	}
}

func TestFullDiskIsReported(t *testing.T) {
	full := errors.New("no space left on device")
	if _, err := Build(writerFunc(func([]byte) (int, error) { return 0, full }), options(t, nil)); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestFirmwareOfTheModulesComesAlong(t *testing.T) {
	o := options(t, nil)
	module := object(t, "license=GPL\x00firmware=bnx2x/bnx2x-e2.fw\x00firmware=bnx2x/gone.fw\x00firmware=qed/init-*.bin\x00firmware=rtl/8168.fw\x00firmware=../../../etc/passwd\x00firmware=[\x00")
	must(t, os.WriteFile(filepath.Join(o.Modules, "kernel/drivers/net/bnx2x.ko"), module, 0o600))
	plain := object(t, "license=GPL\x00")
	must(t, fs.WalkDir(os.DirFS(o.Modules), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(name, ".ko") && !strings.HasSuffix(name, "bnx2x.ko") {
			return os.WriteFile(filepath.Join(o.Modules, name), pack(t, name, plain), 0o600)
		}
		return err
	}))
	o.Firmware = t.TempDir()
	for name, content := range map[string]string{
		"bnx2x/bnx2x-e2.fw": "plain", "qed/init-1.bin": "one", "qed/init-2.bin": "two", "real/8168": "linked", "radeon/other.fw": "other",
	} {
		full := filepath.Join(o.Firmware, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, []byte(content), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(o.Firmware, "rtl"), 0o755))
	must(t, os.Symlink("../real/8168", filepath.Join(o.Firmware, "rtl/8168.fw.zst")))

	sum, records := unpack(t, o)
	if want := []string{"bnx2x/bnx2x-e2.fw", "qed/init-*.bin", "rtl/8168.fw"}; !slices.Equal(sum.Firmware, want) {
		t.Errorf("firmware: got %q, want %q", sum.Firmware, want)
	}
	if want := []string{"../../../etc/passwd", "[", "bnx2x/gone.fw"}; !slices.Equal(sum.MissingFirmware, want) {
		t.Errorf("missing firmware: got %q, want %q", sum.MissingFirmware, want)
	}
	got := map[string]string{}
	for name, r := range records {
		if rest, ok := strings.CutPrefix(name, "lib/firmware/"); ok && r.Mode&cpio.S_IFMT == cpio.S_IFREG {
			got[rest] = text(t, r)
		}
	}
	want := map[string]string{"bnx2x/bnx2x-e2.fw": "plain", "qed/init-1.bin": "one", "qed/init-2.bin": "two", "rtl/8168.fw.zst": "linked"}
	if len(got) != len(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, content := range want {
		if got[name] != content {
			t.Errorf("%s: got %q, want %q", name, got[name], content)
		}
	}
}
