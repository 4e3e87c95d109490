package ha

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/test/lab"
)

// What an image needs of a Debian in order to be one: a kernel, the drivers that mount the image, an init.
var (
	wantedFiles = regexp.MustCompile(`^(bin|sbin|lib|usr/sbin/init|usr/lib/systemd/systemd|boot/(vmlinuz|config)-.*` +
		`|usr/lib/modules/[^/]*/modules\.(dep|builtin)|usr/lib/modules/.*/(squashfs|overlay|loop)\.ko)$`)
	wantedModules = regexp.MustCompile(`(?m)^.*/(squashfs|overlay|loop)\.ko:.*\n`)
)

// smallDebian writes a tar file with as little of a Debian as an image can be made of: it is imported in a second or two.
func (s *site) smallDebian(t *testing.T) string {
	t.Helper()
	whole, err := lab.Rootfs(t.Context(), lab.CacheDir(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(s.dir, "small.tar")
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	out := tar.NewWriter(to)
	if err := copyWanted(out, tar.NewReader(from)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.Close(), to.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func copyWanted(out *tar.Writer, in *tar.Reader) error {
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(h.Name, "./")
		if !wantedFiles.MatchString(name) {
			continue
		}
		var body io.Reader = in
		if filepath.Base(name) == "modules.dep" { // which must not name what is left out
			b, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			b = bytes.Join(wantedModules.FindAll(b, -1), nil)
			h.Size, body = int64(len(b)), bytes.NewReader(b)
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, body); err != nil {
			return err
		}
	}
}

// blobsOf returns the blobs of the newest version of an image.
func (h *head) blobsOf(t *testing.T, image string) []fleet.Blob {
	t.Helper()
	v, err := h.Image(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	return v.Blobs()
}

// lacks returns why the controller's disk does not hold blobs whole; nil if it does.
func (h *head) lacks(blobs []fleet.Blob) error {
	for _, b := range blobs {
		content, err := os.ReadFile(h.BlobPath(b))
		if err != nil {
			return err
		}
		if sha256.Sum256(content) != b.Digest {
			return fmt.Errorf("%s has another content", h.BlobPath(b))
		}
	}
	return nil
}

// holding waits until the controller list at h shows that who lives and holds that many blobs and lacks none. Whenever
// it shows that, the blobs must be on who's disk. What who said of itself before that time does not count.
func (h *head) holding(t *testing.T, who *head, blobs []fleet.Blob, since time.Time) {
	t.Helper()
	eventually(t, who.Host.ID+" to hold all blobs", func() (bool, string) {
		s, err := h.ask(t)
		if err != nil {
			return false, err.Error()
		}
		at := slices.IndexFunc(s.Controllers, func(v api.ControllerView) bool { return v.ID == who.Host.ID })
		if at < 0 {
			return false, "it is not listed"
		}
		v := s.Controllers[at]
		if !v.Alive || v.BlobsMissing > 0 || v.Seen.Before(since) {
			return false, fmt.Sprintf("%+v", v)
		}
		if err := who.lacks(blobs); err != nil {
			t.Fatalf("%s counts as holding %d blobs and lacking none, but %v", who.Host.ID, v.Blobs, err)
		}
		return v.Blobs == len(blobs), fmt.Sprintf("%+v", v)
	})
}

func (g *growth) imports(t *testing.T) {
	file := g.smallDebian(t)
	_, others := leaderOf(t, g.first, g.second, g.third)
	g.image = others[0] // a follower
	if out := g.image.samara(t, "image", "import", file, "debian"); !strings.Contains(out, "added image debian:1") {
		t.Errorf("import says %q", out)
	}
	blobs := g.image.blobsOf(t, "debian")
	for _, h := range []*head{g.first, g.second, g.third} {
		g.image.holding(t, h, blobs, time.Now())
	}
	eventually(t, "the list to show who holds all", func() (bool, string) {
		out := g.first.samara(t, "controller", "list")
		return strings.Count(out, " 4/4 ") == 3, out
	})
	if out := g.first.samara(t, "status"); !strings.Contains(out, "3 of 3 controllers hold every blob") {
		t.Errorf("status:\n%s", out)
	}
}

// flip changes one byte in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	half := len(content) / 2
	if _, err := f.WriteAt([]byte{content[half] ^ 1}, int64(half)); err != nil {
		t.Fatal(err)
	}
}

func (g *growth) emptied(t *testing.T) {
	leader, others := leaderOf(t, g.first, g.second, g.third)
	h := others[0]
	blobs := h.blobsOf(t, "debian")
	h.Kill()
	if err := os.RemoveAll(filepath.Join(h.Dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	emptied := time.Now()
	h.start(t)
	leader.holding(t, h, blobs, emptied)
}

func (g *growth) fresh(t *testing.T) {
	blobs := g.image.blobsOf(t, "debian")
	fourth := g.head(t, 4)
	fourth.samara(t, fourth.joining(g.second, g.third.token(t))...)
	if err := fourth.Start(); err != nil {
		t.Fatal(err)
	}
	g.first.holding(t, fourth, blobs, time.Time{})
	eventually(t, "the fourth to be a learner or a voter", func() (bool, string) {
		out := fourth.samara(t, "controller", "list")
		return regexp.MustCompile(`head4 +10\.77\.0\.4 +(learner|voter) `).MatchString(out), out
	})
}

// mends changes a byte of an image on one controller's disk. Nobody asks for it; a minute after it starts the controller
// reads what it holds.
func (g *growth) mends(t *testing.T) {
	leader, others := leaderOf(t, g.first, g.second, g.third)
	h := others[0]
	v, err := leader.Image(t.Context(), "debian")
	if err != nil {
		t.Fatal(err)
	}
	h.Kill()
	flip(t, h.BlobPath(v.Root))
	h.serve(t)
	eventually(t, "the damaged blob to be whole", func() (bool, string) {
		err := h.lacks(v.Blobs())
		return err == nil, fmt.Sprint(err)
	})
	if found, err := h.LogSays("a blob is damaged"); err != nil || !found {
		t.Errorf("the log of %s does not say that a blob was damaged (%v)", h.Host.ID, err)
	}
	leader.holding(t, h, v.Blobs(), time.Now())
	eventually(t, "no problem to be left", func() (bool, string) {
		out := h.samara(t, "status")
		return !strings.Contains(out, "problem:"), out
	})
}
