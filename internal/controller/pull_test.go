package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
)

// asked is a request of a for everything that v needs.
func asked(v fleet.ImageVersion) api.PullRequest {
	return api.PullRequest{From: "a", Image: "i", Blobs: asBlobs(v)}
}

func TestAPullFetchesOnlyWhatIsNotThereWhole(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 5<<20)
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	must(t, b.puller.Pull(t.Context(), asked(v), ignore))
	b.mustHold(t, v)
	b.damage(t, v.Root)
	b.damage(t, v.Kernel)
	var mu sync.Mutex
	fetched := map[fleet.Digest]bool{}
	a.set(func() {
		a.fault = func(d fleet.Digest) error {
			mu.Lock()
			defer mu.Unlock()
			fetched[d] = true
			return nil
		}
	})
	must(t, b.puller.Pull(t.Context(), asked(v), ignore))
	b.mustHold(t, v)
	if len(fetched) != 1 || !fetched[v.Kernel.Digest] {
		t.Errorf("fetched %v, want the damaged kernel %s alone", fetched, v.Kernel.Digest)
	}
}

func TestAPullIsRefusedThatNobodyCanServe(t *testing.T) {
	s := newScene(t, 1, 2, nil)
	v := s.heads[0].version(t, 1, 1<<20)
	for name, blobs := range map[string]api.PullBlobs{
		"nothing":              {},
		"root without torrent": {Root: v.Root},
		"no size":              {Kernel: fleet.Blob{Digest: v.Kernel.Digest}},
		"torrent too large":    {Root: v.Root, Torrent: fleet.Blob{Digest: v.Torrent.Digest, Size: 1 << 30}},
	} {
		if err := s.heads[0].puller.Pull(t.Context(), api.PullRequest{From: "a", Blobs: blobs}, ignore); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, fleet.ErrInvalid)
		}
	}
}

func TestAPullThatFailsSaysWhyAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, a, b *head, v *fleet.ImageVersion)
		want error
		text string
	}{
		"wrong kernel": {func(t *testing.T, a, _ *head, v *fleet.ImageVersion) {
			a.lie(v.Kernel.Digest, noise(7, int(v.Kernel.Size)))
		}, blob.ErrOther, "from controller a"},
		"kernel too long": {func(t *testing.T, a, _ *head, v *fleet.ImageVersion) {
			a.lie(v.Kernel.Digest, noise(7, int(v.Kernel.Size)+1))
		}, blob.ErrOther, "from controller a"},
		"torrent of another root": {func(t *testing.T, a, _ *head, v *fleet.ImageVersion) {
			v.Torrent = a.version(t, 50, 1<<20).Torrent
		}, nil, "bad info dictionary"},
		"disk full": {func(t *testing.T, _, b *head, _ *fleet.ImageVersion) {
			b.puller.create = func(*blob.Temp, string, int64) (*os.File, error) { return nil, unix.ENOSPC }
		}, unix.ENOSPC, "no space left"},
		"nobody in the swarm": {func(t *testing.T, a, b *head, v *fleet.ImageVersion) {
			a.origin.withdraw(v.Root.Digest)
			b.puller.giveUp = 500 * time.Millisecond
		}, errStalled, "nothing has arrived"},
		"small blob stalls": {func(t *testing.T, a, b *head, v *fleet.ImageVersion) {
			b.puller.giveUp = 500 * time.Millisecond
			stall := make(chan struct{})
			t.Cleanup(func() { close(stall) })
			a.fault = func(fleet.Digest) error { return nil }
			a.stall = stall
		}, errStalled, "from controller a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2, 2, nil)
			a, b := s.heads[0], s.heads[1]
			v := a.version(t, 1, 1<<20)
			must(t, a.origin.offer(v.Root.Digest, v.Torrent))
			c.do(t, a, b, &v)
			err := b.puller.Pull(t.Context(), asked(v), ignore)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v and %q", err, c.want, c.text)
			}
			b.mustHoldNothing(t)
		})
	}
}

// lie has a controller send other bytes than those of a blob.
func (h *head) lie(d fleet.Digest, content []byte) { h.lies = map[fleet.Digest][]byte{d: content} }

func TestAPullEndsWithItsRequest(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 16<<20)
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	a.server.SetUploadLimit(2 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := b.puller.Pull(ctx, asked(v), func(p api.Progress) {
		if p.Done > p.Total/4 { // of the root, the rest being smaller
			a.kill()
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	b.mustHoldNothing(t)
}

func TestAPullGoesOnFromOthersIfItsFirstSourceDies(t *testing.T) {
	s := newScene(t, 3, 2, nil)
	a, b, c := s.heads[0], s.heads[1], s.heads[2]
	v := a.version(t, 1, 12<<20)
	c.version(t, 1, 12<<20)
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	must(t, c.origin.offer(v.Root.Digest, v.Torrent))
	a.server.SetUploadLimit(2 << 20)
	c.server.SetUploadLimit(2 << 20)
	var once sync.Once
	must(t, b.puller.Pull(t.Context(), asked(v), func(p api.Progress) {
		if p.Done > p.Total/4 {
			once.Do(func() {
				a.kill()
				c.server.SetUploadLimit(0)
			})
		}
	}))
	b.mustHold(t, v)
}

func TestPullsOfTheSameBlobsFetchThemOnce(t *testing.T) {
	s := newScene(t, 2, 2, nil)
	a, b := s.heads[0], s.heads[1]
	v := a.version(t, 1, 6<<20)
	must(t, a.origin.offer(v.Root.Digest, v.Torrent))
	var pulls sync.WaitGroup
	for range 4 {
		pulls.Go(func() {
			if err := b.puller.Pull(t.Context(), asked(v), ignore); err != nil {
				t.Error(err)
			}
		})
	}
	pulls.Wait()
	b.mustHold(t, v)
	if sent := a.origin.seeding().CopiedBytes; sent > v.Root.Size*3/2 {
		t.Errorf("the root was sent %.1f times", float64(sent)/float64(v.Root.Size))
	}
}

func TestABlobIsReadByOtherControllers(t *testing.T) {
	s := newScene(t, 1, 2, nil)
	a := s.heads[0]
	want := noise(3, 3<<20)
	d := a.put(t, want).Digest
	r, size, err := a.puller.OpenBlob(d)
	must(t, err)
	got, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	if size != int64(len(want)) || !bytes.Equal(got, want) {
		t.Errorf("got %d of %d bytes, want %d", len(got), size, len(want))
	}
	if _, _, err := a.puller.OpenBlob(fleet.Digest{1}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("got %v, want %v", err, fleet.ErrNotFound)
	}
}

func TestErrorsAreJoinedOnOneLine(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	err := joined([]error{one, two})
	if !errors.Is(err, one) || !errors.Is(err, two) || fmt.Sprint(err) != "one; two" {
		t.Errorf("got %v", err)
	}
}
