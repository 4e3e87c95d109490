package bootagent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/seeder"
)

// A rangeServer sends ranges of content to nodes, as a controller does.
type rangeServer struct {
	content string
	busy    atomic.Int32 // requests to refuse
	asked   atomic.Int32
	served  atomic.Int32
}

func (s *rangeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	if who, err := identity.PeerSubject(r.TLS); err != nil || who.Role != identity.RoleNode {
		http.Error(w, `{"error":"nodes only"}`, http.StatusForbidden)
		return
	}
	if s.busy.Add(-1) >= 0 {
		w.Header().Set("Retry-After", "1")
		http.Error(w, `{"code":"busy","error":"8 nodes"}`, http.StatusServiceUnavailable)
		return
	}
	s.served.Add(1)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(s.content))
}

// download begins one into a file of the test, without peers.
func download(t *testing.T, m fleet.Manifest) (*seeder.Client, *seeder.Download, *os.File) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	c := openClient(t)
	d, err := c.Fetch(m.Torrent, m.Root, f)
	if err != nil {
		t.Fatal(err)
	}
	return c, d, f
}

// One controller lies, one is busy for a while, one is dead: the node gets its image from them all the same, and a
// neighbour gets it from the node.
func TestReliefFillsADownload(t *testing.T) {
	content := strings.Repeat("samara ", 1_500_000)
	m := manifestFor(t, content)
	l := newLab(t)
	good, liar := &rangeServer{content: content}, &rangeServer{content: strings.Repeat("x", len(content))}
	good.busy.Store(2)
	s := l.session(l.controller(l.issue(identity.RoleController, time.Now()), good.ServeHTTP),
		l.controller(l.issue(identity.RoleController, time.Now()), liar.ServeHTTP), nobody(t))
	node := l.issue(identity.RoleNode, time.Now())
	s.use(&node)

	client, d, f := download(t, m)
	p := beginProof(d.Reader(t.Context()), m.Root)
	info, err := seeder.ParseInfo(m.Torrent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := newRelief(quietLog(), s, m.Root.Digest, info.PieceLength)
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx, d) }()
	r.need(true)
	if err := d.Wait(ctx); err != nil {
		t.Fatalf("%v; %s", err, r.failure())
	}
	if _, err := p.wait(ctx); err != nil {
		t.Error(err)
	}
	if got := d.Progress(); got.FromControl != int64(len(content)) || got.FromPeers+got.FromOrigin != 0 {
		t.Errorf("progress %+v", got)
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, int64(len(content))+1))
	if err != nil || !bytes.Equal(got, []byte(content)) {
		t.Errorf("the file holds %d bytes, %v", len(got), err)
	}
	if n := liar.asked.Load(); n > 1 {
		t.Errorf("the controller that lied was asked %d times", n)
	}
	if n := good.served.Load(); n < 3 || n > 4 { // it may begin anywhere, and go round
		t.Errorf("%d ranges were sent of 10 MiB, want 4 MiB at a time", n)
	}

	_, second, _ := download(t, m)
	second.AddPeers([]netip.AddrPort{client.Addr()})
	if err := second.Wait(ctx); err != nil {
		t.Errorf("a neighbour of the node: %v", err)
	}
	if got := second.Progress(); got.FromPeers != int64(len(content)) {
		t.Errorf("the neighbour's progress %+v", got)
	}
	cancel()
	<-done
}

func TestGetRangeSaysWhatIsWrong(t *testing.T) {
	l := newLab(t)
	root := fleet.Digest{1}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"it refuses":           {refuseWith(http.StatusNotFound, "not held here"), "not held here"},
		"the whole":            {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("0123456789")) }, "refuses: OK (200)"},
		"fewer bytes":          {partial("10", "01234"), "unexpected EOF"},
		"another length":       {partial("5", "01234"), "5 bytes instead of 10"},
		"an error without end": {refuseWith(http.StatusInternalServerError, strings.Repeat("x", 1<<20)), "(500)"},
	} {
		t.Run(name, func(t *testing.T) {
			at := l.controller(l.issue(identity.RoleController, time.Now()), c.answer)
			err := l.session(at).getRange(t.Context(), at, root, 5, make([]byte, 10))
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 2*fleet.MaxReportText {
				t.Errorf("got %.200v, want %q", err, c.want)
			}
		})
	}
	for after, want := range map[string]time.Duration{"7": 7 * time.Second, "0": time.Second, "soon": busyWait, "-1": busyWait} {
		at := l.controller(l.issue(identity.RoleController, time.Now()), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		var later *busy
		if err := l.session(at).getRange(t.Context(), at, root, 0, make([]byte, 1)); !errors.As(err, &later) || later.after != want {
			t.Errorf("Retry-After %q: %v, want %s", after, err, want)
		}
	}
}

func partial(length, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", length)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write([]byte(body))
	}
}

// A machine's clock may be set while the agent runs. What a controller said, and how long ago, is not.
func TestSessionGoesByTheClustersClock(t *testing.T) {
	past := time.Now().Add(-48 * time.Hour) // the machine's clock was set two days ahead, as it were
	l := newLabAt(t, past)
	at := l.controller(l.issue(identity.RoleController, past), answerWith(struct{}{}))
	s := l.session(at)
	if err := s.call(t.Context(), "/", struct{}{}, &struct{}{}); err == nil || !strings.Contains(err.Error(), "this machine's clock says") {
		t.Errorf("by the machine's clock: %v", err)
	}
	s.setClock(past.Add(time.Hour))
	if err := s.call(t.Context(), "/", struct{}{}, &struct{}{}); err != nil {
		t.Errorf("by the cluster's clock: %v", err)
	}
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := l.ca.Issue(identity.Subject{Role: identity.RoleNode, Name: "n001"}, key.Public(), nil, past, identity.NodeLife)
	if err != nil {
		t.Fatal(err)
	}
	if _, renewal, err := pair(chain, key, past); err != nil || time.Until(renewal) < 15*time.Hour || time.Until(renewal) > 16*time.Hour {
		t.Errorf("the certificate is renewed in %s, %v; want two thirds of a day", time.Until(renewal), err)
	}
}
