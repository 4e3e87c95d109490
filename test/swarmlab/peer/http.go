package peer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// HTTPPort is where the HTTP origin listens.
const HTTPPort = 7682

// headerPatience is how long the HTTP origin waits for a request's header.
const headerPatience = 10 * time.Second

// runHTTPOrigin serves the image as any file server does.
func runHTTPOrigin(ctx context.Context, c Config, say *teller) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort(c.Address.String(), fmt.Sprint(HTTPPort)))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(c.Dir)), ReadHeaderTimeout: headerPatience}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer s.Close()
	if err := say.ready(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		return err
	}
}

// runHTTP gets the image by one request, and hashes it on its way to a file.
func runHTTP(ctx context.Context, c Config, say *teller) error {
	if err := say.ready(ctx); err != nil {
		return err
	}
	var have atomic.Int64
	telling, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_ = every(telling, tellEvery, func() { say.tell(Event{Kind: Progress, Have: have.Load(), FromOrigin: have.Load()}) })
	}()
	name := c.Image.Digest.String()
	f, err := os.Create(filepath.Join(c.Dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := newSum()
	if err := get(ctx, fmt.Sprintf("http://%s/%s", c.Origins[0], name), io.MultiWriter(f, sum, (*counter)(&have))); err != nil {
		return err
	}
	if err := sum.check(c.Image, have.Load()); err != nil {
		return err
	}
	stop()
	say.tell(Event{Kind: Whole, Have: have.Load(), FromOrigin: have.Load()})
	say.tell(Event{Kind: Proved})
	<-ctx.Done()
	return nil
}

func get(ctx context.Context, url string, to io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, answer.Status)
	}
	_, err = io.Copy(to, answer.Body)
	return err
}

// A counter counts the bytes that are written to it.
type counter atomic.Int64

func (c *counter) Write(b []byte) (int, error) {
	(*atomic.Int64)(c).Add(int64(len(b)))
	return len(b), nil
}

// A sum is the SHA-256 of what is written to it.
type sum struct{ hash.Hash }

func newSum() sum { return sum{sha256.New()} }

// check compares what was written, of that many bytes, with a blob.
func (s sum) check(want fleet.Blob, size int64) error {
	if got := fleet.Digest(s.Sum(nil)); got != want.Digest || size != want.Size {
		return fmt.Errorf("the image that arrived has %d bytes and SHA-256 %s, not %d and %s", size, got.Short(), want.Size, want.Digest.Short())
	}
	return nil
}
