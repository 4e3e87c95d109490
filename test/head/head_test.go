// Package head tests a head node without machines: the real samara in a network of its own, asked through its command
// line and by clients that are not ours. It needs root, and the packages that test/prepare installs.
package head

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/test/lab"
)

const (
	prefix   = "samara-head"
	patience = 2 * time.Minute // for what takes seconds
)

// A head is a controller in a network of its own, and a tar file with a Debian to import.
type head struct {
	*lab.Controller
	dir, tar string
}

func newHead(t *testing.T) *head {
	t.Helper()
	if err := lab.Need(); err != nil {
		t.Fatalf("%v (test/prepare test does it)", err)
	}
	samara, err := filepath.Abs("../../bin/samara")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(samara); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	tar, err := lab.Rootfs(t.Context(), lab.CacheDir(), t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	network, err := lab.NewNetwork(lab.TestNetworkName(prefix), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	ssh, err := lab.NewSSH(network, dir)
	if err != nil {
		t.Fatal(err)
	}
	host, err := network.AddHost(1)
	if err != nil {
		t.Fatal(err)
	}
	h := &head{dir: dir, tar: tar, Controller: lab.NewController(host, samara, dir)}
	h.Flags = []string{"--keep-blobs", "1s"} // so that what is collected can be waited for
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Init(ctx, "head", ssh.PublicKey()); err != nil {
		t.Fatal(err)
	}
	h.serve(t)
	return h
}

func (h *head) serve(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Serve(ctx); err != nil {
		t.Fatal(err)
	}
}

// samara runs the command line and returns its result.
func (h *head) samara(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := h.Run(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused runs the command line and checks its exit status and what it says.
func (h *head) refused(t *testing.T, status int, says string, args ...string) {
	t.Helper()
	cmd := h.Command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != status || !strings.Contains(stderr.String(), says) {
		t.Errorf("samara %v: exit status %d (%v), %q; want %d and %q", args, got, err, stderr.String(), status, says)
	}
}

// blobs returns the names of all files of the blob store, those being written included.
func (h *head) blobs(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(h.Dir, "blobs"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// kill ends samara serve as a power failure would, and starts it again.
func (h *head) killAndServe(t *testing.T) {
	t.Helper()
	h.Process().Kill()
	<-h.Process().Done()
	h.serve(t)
}

// eventually waits until ok, which says what it saw.
func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		good, seen := ok()
		if good {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not within %s; last seen: %s", what, patience, seen)
		case <-tick.C:
		}
	}
}

func TestAHeadNode(t *testing.T) {
	h := newHead(t)
	for _, stage := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"what was acknowledged survives kills", h.survivesKills},
		{"a broken tar leaves nothing behind", h.brokenTar},
		{"an interrupted import leaves nothing behind", h.interruptedImport},
		{"an import killed with the controller leaves nothing behind", h.killedImport},
		{"an image is imported from a stream", h.imports},
		{"the initramfs fits", h.initramfsFits},
		{"a standard client downloads the image", h.standardClient},
		{"a boot token is for one machine", h.tokens},
		{"people ask from afar with a certificate", h.fromAfar},
		{"a second controller finds the ports in use", h.portsInUse},
		{"an image in use stays", h.inUse},
		{"importing again mends damaged blobs", h.mends},
		{"what no version names is removed", h.collects},
	} {
		if !t.Run(stage.name, stage.run) {
			t.FailNow()
		}
	}
}

func (h *head) survivesKills(t *testing.T) {
	var want []string
	for round := range 4 {
		for i := range 5 {
			name := fmt.Sprintf("k%d-%d", round, i)
			h.samara(t, "node", "add", name)
			want = append(want, name)
		}
		h.killAndServe(t)
		if got := strings.Fields(h.samara(t, "node", "list", "-o", "name")); !slices.Equal(got, want) {
			t.Fatalf("after kill %d: nodes %v, want %v", round+1, got, want)
		}
	}
	h.samara(t, "node", "delete", "k[0-3]-[0-4]", "--yes")
}

func (h *head) brokenTar(t *testing.T) {
	for what, size := range map[string]int64{"cut in a file": 100 << 20, "cut at once": 700} {
		broken := filepath.Join(h.dir, "broken.tar")
		copyHead(t, broken, h.tar, size)
		h.refused(t, 1, "ends early", "image", "import", broken, "debian")
		if left := h.blobs(t); len(left) != 0 {
			t.Errorf("%s: left behind: %v", what, left)
		}
	}
	h.refused(t, 1, "no such file", "image", "import", filepath.Join(h.dir, "nothing.tar"), "debian")
	h.refused(t, 2, "Debian", "image", "import", h.tar, "Debian")
}

func copyHead(t *testing.T, to, from string, size int64) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(out, in, size); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// startImport begins an import and returns once the controller writes it.
func (h *head) startImport(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := h.Command("image", "import", h.tar, "debian")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an import under way", func() (bool, string) {
		files := h.blobs(t)
		return len(files) > 0, fmt.Sprint(files)
	})
	return cmd
}

func (h *head) interruptedImport(t *testing.T) {
	cmd := h.startImport(t)
	if err := cmd.Process.Kill(); err != nil { // the client; the controller sees its connection end
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "an interrupted import to be cleared away", func() (bool, string) {
		files := h.blobs(t)
		return len(files) == 0, fmt.Sprint(files)
	})
	if out := h.samara(t, "image", "list", "-o", "name"); strings.TrimSpace(out) != "" {
		t.Errorf("images: %q", out)
	}
}

func (h *head) killedImport(t *testing.T) {
	cmd := h.startImport(t)
	h.killAndServe(t)
	if err := cmd.Wait(); err == nil {
		t.Error("an import succeeded whose controller was killed")
	}
	eventually(t, "a killed import to be cleared away", func() (bool, string) {
		files := h.blobs(t)
		return len(files) == 0, fmt.Sprint(files)
	})
}

func (h *head) imports(t *testing.T) {
	in, err := os.Open(h.tar)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := h.Command("image", "import", "-", "debian")
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "added image debian:1") {
		t.Errorf("import says %q", out)
	}
	if files := h.blobs(t); len(files) != 8 {
		t.Errorf("%d files in the blob store, want four blobs and their sums: %v", len(files), files)
	}
}

func (h *head) initramfsFits(t *testing.T) {
	v := h.image(t)
	if limit := int64(16 << 20); v.Initramfs.Size > limit {
		t.Errorf("the initramfs has %d bytes, want at most %d", v.Initramfs.Size, limit)
	}
	t.Logf("initramfs: %d bytes, image: %d bytes", v.Initramfs.Size, v.Root.Size)
}

func (h *head) image(t *testing.T) fleet.ImageVersion {
	t.Helper()
	v, err := h.Image(t.Context(), "debian")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// standardClient downloads the image with aria2 by the controller's tracker, from the address of a node.
func (h *head) standardClient(t *testing.T) {
	h.samara(t, "node", "add", "aria", "--ip", "10.77.0.254")
	defer h.samara(t, "node", "delete", "aria", "--yes")
	torrent := filepath.Join(h.dir, "debian.torrent")
	h.samara(t, "image", "torrent", "debian", "--file", torrent)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := h.Host.Network.Output(ctx, "aria2c", "--no-conf", "--dir="+h.dir, "--seed-time=0", "--enable-dht=false", "--enable-dht6=false",
		"--enable-peer-exchange=false", "--bt-enable-lpd=false", "--summary-interval=0", "--console-log-level=warn", "--file-allocation=none", torrent)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	v := h.image(t)
	f, err := os.Open(filepath.Join(h.dir, v.Root.Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != v.Root.Digest.String() {
		t.Errorf("aria2 downloaded %s, want %s", got, v.Root.Digest)
	}
	if sent, err := h.OriginBytes(ctx); err != nil || sent < v.Root.Size {
		t.Errorf("the origin counts %d bytes sent (%v), want at least %d", sent, err, v.Root.Size)
	}
}

// tokens plays a machine from its script to its manifest, and another that got hold of its token.
func (h *head) tokens(t *testing.T) {
	h.samara(t, "node", "add", "n1", "--mac", "02:77:00:00:00:0b", "--ip", "10.77.0.11", "--image", "debian")
	script := h.get(t, "http://10.77.0.1:7601/boot/02:77:00:00:00:0b")
	arg := func(name string) string {
		m := regexp.MustCompile(regexp.QuoteMeta(name) + `=(\S+)`).FindStringSubmatch(script)
		if m == nil {
			t.Fatalf("no %s in the script:\n%s", name, script)
		}
		return m[1]
	}
	token, pin := arg("samara.boot"), arg("samara.ca")
	first := newRequest(t, token)
	for range 2 { // an answer that was lost can be had again
		status, answer := h.enroll(t, pin, first)
		var got fleet.EnrollAnswer
		if err := json.Unmarshal(answer, &got); status != http.StatusOK || err != nil {
			t.Fatalf("enroll: %d %s", status, answer)
		}
		if m := got.Manifest; m.Node != "n1" || m.Root != h.image(t).Root || m.Address.String() != "10.77.0.11/24" || len(m.MeshKey) != 32 {
			t.Errorf("manifest: %+v", m)
		}
	}
	for what, r := range map[string]fleet.EnrollRequest{
		"another key":    newRequest(t, token),
		"a forged token": newRequest(t, token[:len(token)-4]+"AAAA"),
		"no token":       newRequest(t, ""),
	} {
		if status, answer := h.enroll(t, pin, r); status != http.StatusForbidden {
			t.Errorf("%s: %d %s, want %d", what, status, answer, http.StatusForbidden)
		}
	}
	if script := h.get(t, "http://10.77.0.1:7601/boot/02:77:00:00:00:99"); strings.Contains(script, "samara.boot") {
		t.Errorf("an unknown machine got a token:\n%s", script)
	}
	log, err := os.ReadFile(h.Log)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(log, []byte(token)) {
		t.Error("a boot token stands in the log")
	}
}

func newRequest(t *testing.T, token string) fleet.EnrollRequest {
	t.Helper()
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return fleet.EnrollRequest{Token: token, CSR: csr}
}

func (h *head) enroll(t *testing.T, pin string, r fleet.EnrollRequest) (int, []byte) {
	t.Helper()
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	client := h.client(&http.Transport{TLSClientConfig: identity.ClientConfig(pin, nil, nil, time.Now)})
	resp, err := client.Post("https://10.77.0.1:7600"+fleet.AgentEnrollPath, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func (h *head) get(t *testing.T, url string) string {
	t.Helper()
	resp, err := h.client(&http.Transport{}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// client returns an HTTP client inside the network.
func (h *head) client(tr *http.Transport) *http.Client {
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return h.Host.Network.Dial(ctx, network, address)
	}
	tr.DisableKeepAlives = true
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// fromAfar uses the certificate that init made, and one of another cluster.
func (h *head) fromAfar(t *testing.T) {
	ask := func(identity string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return h.Host.Network.Output(ctx, h.Binary, append(args, "--server", "10.77.0.1:7600", "--identity", identity)...)
	}
	ours := filepath.Join(h.Dir, "admin")
	if out, err := ask(ours, "node", "set", "n1", "--rack", "r1"); err != nil || !strings.Contains(out, "r1") {
		t.Errorf("with our certificate: %q, %v", out, err)
	}
	if out := h.samara(t, "node", "show", "n1"); !strings.Contains(out, "r1") {
		t.Errorf("the change did not arrive:\n%s", out)
	}
	foreign := filepath.Join(h.dir, "foreign")
	h.samara(t, "init", "--dir", foreign, "--name", "foreign", "--id", "head9", "--address", "10.77.0.1", "--subnet", "10.77.0.0/24")
	if out, err := ask(filepath.Join(foreign, "admin"), "node", "list"); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("with a foreign certificate: %q, %v", out, err)
	}
}

func (h *head) portsInUse(t *testing.T) {
	second := filepath.Join(h.dir, "second")
	h.samara(t, "init", "--dir", second, "--name", "second", "--id", "head2", "--address", "10.77.0.1", "--subnet", "10.77.0.0/24")
	h.refused(t, 1, "control port 7600 is in use", "serve", "--dir", second)
	h.refused(t, 1, "in use by another samara process", "serve", "--dir", h.Dir)
	h.refused(t, 2, "already exists", "init", "--dir", second, "--name", "second", "--id", "head2", "--address", "10.77.0.1", "--subnet", "10.77.0.0/24")
}

func (h *head) inUse(t *testing.T) {
	before := len(h.blobs(t))
	h.refused(t, 1, "in use by node n1", "image", "delete", "debian", "--yes")
	if after := len(h.blobs(t)); after != before {
		t.Errorf("%d files in the blob store, want %d", after, before)
	}
}

// mends damages two blobs on disk, and imports the image once more.
func (h *head) mends(t *testing.T) {
	v := h.image(t)
	for _, b := range []fleet.Blob{v.Root, v.Kernel} {
		flip(t, h.BlobPath(b))
	}
	h.killAndServe(t) // a controller reads all its blobs once when it starts
	eventually(t, "the damage to be found", func() (bool, string) {
		out := h.samara(t, "status")
		return strings.Contains(out, h.BlobPath(v.Root)) && strings.Contains(out, h.BlobPath(v.Kernel)) && strings.Contains(out, "samara image import"), out
	})
	kernel := "http://10.77.0.1:7601/blob/" + v.Kernel.Digest.String()
	if resp, err := h.client(&http.Transport{}).Get(kernel); err == nil {
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK && err == nil {
			t.Errorf("a damaged kernel was served, %d bytes", len(b))
		}
	}
	h.samara(t, "image", "import", h.tar, "debian")
	if out := h.samara(t, "status"); strings.Contains(out, "problem") {
		t.Errorf("after importing again:\n%s", out)
	}
	if sum := sha256.Sum256([]byte(h.get(t, kernel))); fleet.Digest(sum) != v.Kernel.Digest {
		t.Error("the kernel that is served is not the one that was imported")
	}
	if err := os.Remove(filepath.Join(h.dir, v.Root.Digest.String())); err != nil {
		t.Fatal(err)
	}
	h.standardClient(t)
	h.samara(t, "image", "delete", "debian:2", "--yes")
}

// flip changes one byte in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

func (h *head) collects(t *testing.T) {
	h.samara(t, "node", "delete", "n1", "--yes")
	h.samara(t, "image", "delete", "debian", "--yes")
	eventually(t, "the blobs of a deleted image to go", func() (bool, string) {
		files := h.blobs(t)
		return len(files) == 0, fmt.Sprint(files)
	})
}
