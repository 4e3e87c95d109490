package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

func TestPeers(t *testing.T) {
	rig := newRig(t)
	c := rig.peer(t, "head")
	ctx := t.Context()
	if h, err := c.Hello(ctx); err != nil || h.ID != "head" || string(h.Raft) != `{"term":7}` || h.Revision != 3 {
		t.Errorf("Hello: %+v, %v", h, err)
	}
	entry, err := fleet.EncodeEntry(fleet.Entry{Command: fleet.DeleteNodes{Names: []string{"n1"}}, ID: "one", At: time.Now()}, fleet.Format)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is known already
		if rev, err := c.Propose(ctx, entry); err != nil || rev != 4 {
			t.Errorf("Propose: %d, %v; want revision 4", rev, err)
		}
	}
	if rev, err := c.ReadIndex(ctx, Linearizable); err != nil || rev != 4 {
		t.Errorf("ReadIndex: %d, %v; want revision 4", rev, err)
	}
	if err := c.Transfer(ctx, "nobody"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Transfer to nobody: %v, want ErrNotFound", err)
	}
	if seen, err := c.Observed(ctx, "mark&1"); err != nil || seen.Next != "mark&1+" || len(seen.Boots) != 1 {
		t.Errorf("Observed: %+v, %v", seen, err)
	}
}

func TestPeersGiveBackReasons(t *testing.T) {
	rig := newRig(t)
	c := rig.peer(t, "head")
	entry, err := fleet.EncodeEntry(fleet.Entry{Command: fleet.DeleteNodes{Names: []string{"n1"}}, At: time.Now()}, fleet.Format)
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []error{ErrNotLeader, ErrUnavailable, ErrUncertain, fleet.ErrConflict, fleet.ErrFormat, fleet.ErrNotFound} {
		rig.mu.Lock()
		rig.refuse, rig.unread = fmt.Errorf("asked: %w", reason), fmt.Errorf("asked: %w", reason)
		rig.mu.Unlock()
		_, err := c.Propose(t.Context(), entry)
		if !errors.Is(err, reason) || errors.Is(err, ErrUncertain) != (reason == ErrUncertain) {
			t.Errorf("Propose, refused with %v: %v", reason, err)
		}
		if _, err := c.ReadIndex(t.Context(), Default); !errors.Is(err, reason) {
			t.Errorf("ReadIndex, refused with %v: %v", reason, err)
		}
	}
	if _, err := c.Propose(t.Context(), make([]byte, fleet.MaxEntry+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Propose of more than an entry: %v, want ErrTooLarge", err)
	}
}

func TestAPeerMustBeWhoItIsTakenFor(t *testing.T) {
	rig := newRig(t)
	if _, err := rig.peer(t, "head2").Hello(t.Context()); !errors.Is(err, identity.ErrNotTrusted) || !strings.Contains(err.Error(), "is head, not head2") {
		t.Errorf("Hello of another controller than was meant: %v, want ErrNotTrusted that names both", err)
	}
	if _, err := rig.peer(t, "").Hello(t.Context()); err != nil {
		t.Errorf("Hello of any controller: %v", err)
	}
	if _, err := rig.peer(t, "head2").Propose(t.Context(), []byte("{}")); !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrUncertain) {
		t.Errorf("Propose to another controller than was meant: %v, want ErrNoAnswer and no doubt", err)
	}
}

func TestAPeerIsUncertainOnlyOfWhatWasHeard(t *testing.T) {
	rig := newRig(t)
	certificate := certificateOf(rig.issue(t, rig.authority, identity.Subject{Role: identity.RoleController, Name: "head"}))
	c := NewPeerClient(deadAddress(t), rig.pin, certificate, "head")
	t.Cleanup(c.Close)
	if _, err := c.Propose(t.Context(), []byte("{}")); !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrUncertain) {
		t.Errorf("Propose where nobody listens: %v, want ErrNoAnswer and no doubt", err)
	}
	breaks := listen(t, rig, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	}))
	cut := NewPeerClient(breaks, rig.pin, certificate, "head")
	t.Cleanup(cut.Close)
	if _, err := cut.Propose(t.Context(), []byte("{}")); !errors.Is(err, ErrUncertain) {
		t.Errorf("Propose over a connection that breaks: %v, want ErrUncertain", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Propose(ctx, []byte("{}")); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUncertain) {
		t.Errorf("Propose with a context that has ended: %v, want Canceled and no doubt", err)
	}
}

func TestPull(t *testing.T) {
	rig := newRig(t)
	want := PullRequest{From: "head2", Image: "debian", Blobs: PullBlobs{Root: blob(1), Kernel: blob(3)}}
	rig.pulls = func(_ context.Context, r PullRequest, progress func(Progress)) error {
		if r != want {
			return fmt.Errorf("%w request %+v", fleet.ErrInvalid, r)
		}
		progress(Progress{Step: "root", Done: 1, Total: 2, Note: "by swarm"})
		return nil
	}
	c := rig.peer(t, "head")
	var last Progress
	if err := c.Pull(t.Context(), want, func(p Progress) { last = p }); err != nil || last.Note != "by swarm" {
		t.Errorf("Pull: %v, %+v", err, last)
	}
	if err := c.Pull(t.Context(), PullRequest{From: "head3"}, func(Progress) {}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("Pull that fails: %v, want its reason", err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	rig.pulls = func(ctx context.Context, _ PullRequest, _ func(Progress)) error {
		cancel()
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	if err := c.Pull(ctx, want, func(Progress) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Pull that is given up: %v, want Canceled", err)
	}
	if err := <-ended; err == nil {
		t.Error("a pull outlived its client")
	}
}

func TestPullsAreBounded(t *testing.T) {
	rig := newRig(t)
	started, release := make(chan struct{}), make(chan struct{})
	rig.pulls = func(context.Context, PullRequest, func(Progress)) error {
		started <- struct{}{}
		<-release
		return nil
	}
	c := rig.peer(t, "head")
	ended := make(chan error, maxPulls)
	for range maxPulls {
		go func() { ended <- c.Pull(t.Context(), PullRequest{}, func(Progress) {}) }()
		<-started
	}
	if err := c.Pull(t.Context(), PullRequest{}, func(Progress) {}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one pull too many: %v, want ErrUnavailable", err)
	}
	if _, err := c.Hello(t.Context()); err != nil {
		t.Errorf("Hello while pulls are under way: %v", err)
	}
	close(release)
	for range maxPulls {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestBlobsBetweenControllers(t *testing.T) {
	rig := newRig(t)
	c := rig.peer(t, "head")
	b, size, err := c.Blob(t.Context(), fleet.Digest{1})
	if err != nil {
		t.Fatal(err)
	}
	n, err := drain(b)
	if err := errors.Join(err, b.Close()); err != nil || int64(n) != size || size != 3*blobChunk {
		t.Errorf("Blob: %d of %d bytes, %v", n, size, err)
	}
	b, size, err = c.Blob(t.Context(), fleet.Digest{2})
	if err != nil || size != 1000 {
		t.Fatalf("Blob that is torn: %d bytes, %v", size, err)
	}
	if n, err := drain(b); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Blob that is torn: %d bytes, %v; want ErrUnexpectedEOF", n, err)
	}
	_ = b.Close()
	if _, _, err := c.Blob(t.Context(), fleet.Digest{3}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Blob that is not there: %v, want ErrNotFound", err)
	}
}

func TestObservationsEndWithTheServer(t *testing.T) {
	rig := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, asked := make(chan error, 1), make(chan error, 1)
	go func() { ended <- rig.server.Serve(ctx, rig.tls(l)) }()
	c := NewPeerClient(l.Addr().String(), rig.pin, certificateOf(rig.issue(t, rig.authority, identity.Subject{Role: identity.RoleController, Name: "head"})), "head")
	t.Cleanup(c.Close)
	if _, err := c.Observed(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := c.Observed(t.Context(), "end")
		asked <- err
	}()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := <-asked; err == nil {
		t.Error("a long poll outlived its server")
	}
}

func TestBackup(t *testing.T) {
	rig := newRig(t)
	c := admin(t, rig)
	var got strings.Builder
	if err := c.Backup(t.Context(), &got, true); err != nil || got.String() != "backup, blobs true" {
		t.Errorf("Backup: %q, %v", got.String(), err)
	}
	rig.backup = func(w io.Writer) error { return fmt.Errorf("%w: no disk", ErrUnavailable) }
	if err := c.Backup(t.Context(), io.Discard, false); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Backup that fails at once: %v, want its reason", err)
	}
	for _, n := range []int{1, 100, 5000, 1 << 20} {
		rig.backup = func(w io.Writer) error {
			if _, err := w.Write(make([]byte, n)); err != nil {
				return err
			}
			return errors.New("disk on fire")
		}
		if err := c.Backup(t.Context(), io.Discard, false); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("Backup that fails after %d bytes: %v, want ErrNoAnswer", n, err)
		}
	}
	rig.backup = nil
	full := errors.New("no space left")
	if err := c.Backup(t.Context(), failing{full}, false); !errors.Is(err, full) || errors.Is(err, ErrNoAnswer) {
		t.Errorf("Backup to a full disk: %v, want that it is full", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
