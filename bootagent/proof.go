package bootagent

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A proof compares an image with the digest that came over TLS while the image arrives.
type proof struct {
	done chan struct{}
	err  error // once done is closed
}

// beginProof reads an image from its first byte to its last, as r gives them, and closes r. It ends when r does.
func beginProof(r io.ReadCloser, want fleet.Blob) *proof {
	p := &proof{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer r.Close()
		p.err = prove(r, want)
	}()
	return p
}

// wait returns how the comparison came out, and how long it took from now on.
func (p *proof) wait(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	select {
	case <-p.done:
		return time.Since(begin), p.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// prove reads want.Size bytes and compares them with the digest.
func prove(r io.Reader, want fleet.Blob) error {
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, onlyReader{io.LimitReader(r, want.Size)}, make([]byte, 1<<20))
	if err != nil {
		return fmt.Errorf("verify the image: %w", err)
	}
	if got := fleet.Digest(sum.Sum(nil)); got != want.Digest || n != want.Size {
		return fmt.Errorf("the image that arrived has SHA-256 %s, not %s: thrown away; the controllers' copy may be damaged (samara image show)",
			got.Short(), want.Digest.Short())
	}
	return nil
}

// onlyReader hides what else a reader can do, so that io.CopyBuffer uses its buffer.
type onlyReader struct{ io.Reader }
