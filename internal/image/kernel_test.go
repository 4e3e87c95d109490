package image

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestKernelsAreTakenForWhatTheyAre(t *testing.T) {
	image := make([]byte, 128)
	copy(image[56:], "ARM\x64")
	pe := func(machine uint16) []byte {
		b := make([]byte, 256)
		copy(b, "MZ\x00\x00zimg")
		binary.LittleEndian.PutUint32(b[0x3c:], 0x80)
		copy(b[0x80:], "PE\x00\x00")
		binary.LittleEndian.PutUint16(b[0x84:], machine)
		return b
	}
	zipped := func(b []byte) []byte {
		return compressed(t, b, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	}
	short := bzImage("1")[:0x269]
	for name, c := range map[string]struct {
		file          []byte
		release, arch string
		fails         bool
	}{
		"bzImage":              {bzImage("6.1.0-9-amd64"), "6.1.0-9-amd64", "amd64", false},
		"bzImage cut":          {short, "", "amd64", false},
		"arm64 Image":          {image, "", "arm64", false},
		"arm64 Image.gz":       {zipped(image), "", "arm64", false},
		"arm64 zboot":          {pe(0xaa64), "", "arm64", false},
		"zboot for risc-v":     {pe(0x5064), "", "", true},
		"zboot torn":           {pe(0xaa64)[:0x70], "", "", true},
		"something compressed": {zipped(make([]byte, 100)), "", "", true},
		"gzip torn":            {zipped(image)[:12], "", "", true},
		"nothing":              {nil, "", "", true},
		"a text":               {[]byte("hello"), "", "", true},
	} {
		release, arch, err := identify(c.file)
		if release != c.release || arch != c.arch || (err != nil) != c.fails {
			t.Errorf("%s: got %q, %q, %v", name, release, arch, err)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add(bzImage("6.1"))
	f.Add([]byte("MZ\x00\x00zimg" + strings.Repeat("\xff", 100)))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, arch, err := identify(b); err == nil && arch != "amd64" && arch != "arm64" {
			t.Errorf("got %q", arch)
		}
	})
}

func TestNewestKernelWithModulesIsChosen(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"only one":                 {[]string{"boot/vmlinuz-6.1", "lib/modules/6.1/modules.dep"}, "boot/vmlinuz-6.1"},
		"numbers, not letters":     {[]string{"boot/vmlinuz-6.9.1", "boot/vmlinuz-6.10.0", "lib/modules/6.9.1/modules.dep", "lib/modules/6.10.0/modules.dep"}, "boot/vmlinuz-6.10.0"},
		"newest has no modules":    {[]string{"boot/vmlinuz-6.1", "boot/vmlinuz-7.0", "lib/modules/6.1/modules.dep"}, "boot/vmlinuz-6.1"},
		"a rescue kernel":          {[]string{"boot/vmlinuz-0-rescue-abc", "boot/vmlinuz-5.14.0-1.el9", "usr/lib/modules/5.14.0-1.el9/modules.dep"}, "boot/vmlinuz-5.14.0-1.el9"},
		"beside its modules":       {[]string{"usr/lib/modules/6.1/vmlinuz", "usr/lib/modules/6.1/modules.dep"}, "usr/lib/modules/6.1/vmlinuz"},
		"longer is newer":          {[]string{"boot/vmlinuz-6.1", "boot/vmlinuz-6.1.1", "lib/modules/6.1/modules.dep", "lib/modules/6.1.1/modules.dep"}, "boot/vmlinuz-6.1.1"},
		"arm64":                    {[]string{"boot/Image-6.1", "lib/modules/6.1/modules.dep"}, "boot/Image-6.1"},
		"of Debian's ABI numbers":  {[]string{"boot/vmlinuz-6.1.0-9-amd64", "boot/vmlinuz-6.1.0-56-amd64", "lib/modules/6.1.0-9-amd64/modules.dep", "lib/modules/6.1.0-56-amd64/modules.dep"}, "boot/vmlinuz-6.1.0-56-amd64"},
		"a name without a release": {[]string{"boot/vmlinuz", "boot/vmlinuz-6.1", "lib/modules/6.1/modules.dep"}, "boot/vmlinuz-6.1"},
	} {
		x := newIndex()
		for _, file := range c.files {
			if _, err := x.add(&entry{name: file, kind: regular}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := x.kernel(); err != nil || got.name != c.want {
			t.Errorf("%s: got %q and %v, want %q", name, got.name, err, c.want)
		}
	}
}

func TestSymlinksAreFollowedWithinTheImage(t *testing.T) {
	x := newIndex()
	for _, e := range []*entry{
		{name: "usr/lib/systemd/systemd", kind: regular}, {name: "lib", kind: symlink, link: "usr/lib"}, {name: "sbin", kind: symlink, link: "/usr/sbin"},
		{name: "usr/sbin/init", kind: symlink, link: "../../lib/systemd/systemd"}, {name: "loop", kind: symlink, link: "loop"},
		{name: "up", kind: symlink, link: "../../../../lib/./systemd//systemd"}, {name: "hard", kind: hardlink, link: "sbin"},
	} {
		_, err := x.add(e)
		must(t, err)
	}
	for name, want := range map[string]string{
		"sbin/init": "usr/lib/systemd/systemd", "/lib/systemd/systemd": "usr/lib/systemd/systemd", "up": "usr/lib/systemd/systemd",
		"hard/init": "usr/lib/systemd/systemd", "usr": "usr", "loop": "", "none": "", "usr/none/../lib": "",
	} {
		got, _, ok := x.resolve(name)
		if got != want || ok != (want != "") {
			t.Errorf("%s: got %q and %v, want %q", name, got, ok, want)
		}
	}
}
