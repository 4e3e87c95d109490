package seeder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

func TestReaderKeepsPaceAndReadsNothingEarly(t *testing.T) {
	blob := testBlob(9<<20 + 321)
	info, ref := testInfo(t, blob)
	i, err := ParseInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	n := fetch(t, 2, info, ref)
	r := n.Reader(t.Context())
	defer r.Close()

	// Pieces come last first, but for the first: the reader can begin, and then has to wait for the second.
	put := func(p int) {
		t.Helper()
		start, length := i.Bounds(p)
		if err := n.Put(start, blob[start:start+length]); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.New()
	read := make(chan int64, 1)
	step := func(want int64) {
		t.Helper()
		go func() { n, _ := io.CopyN(sum, r, want); read <- n }()
		select {
		case got := <-read:
			if got != want {
				t.Fatalf("read %d bytes, want %d", got, want)
			}
		case <-time.After(patience):
			t.Fatal("the reader hangs")
		}
	}
	put(0)
	step(i.PieceLength)
	for p := i.Pieces() - 1; p > 1; p-- {
		put(p)
	}
	early := make(chan error, 1)
	go func() { _, err := io.CopyN(sum, r, 1); early <- err }()
	select {
	case <-early:
		t.Fatal("a byte of a piece that is not there was read")
	case <-time.After(50 * time.Millisecond):
	}
	put(1)
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	step(i.Size - i.PieceLength - 1)
	if got := fleet.Digest(sum.Sum(nil)); got != ref.Digest {
		t.Errorf("the sum is %s, want %s", got, ref.Digest)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last byte: got error %v, want EOF", err)
	}
}

func TestReaderFollowsASwarm(t *testing.T) {
	blob := testBlob(8 << 20)
	info, ref := testInfo(t, blob)
	good := holder(t, 3, info, blob)
	n := fetch(t, 2, info, ref)
	r := n.Reader(t.Context())
	defer r.Close()
	feed(t, n.Download, good.Addr())
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, blob) {
		t.Errorf("read %d bytes (error %v), want the blob", len(got), err)
	}
	if p := n.Progress(); !p.Complete {
		t.Errorf("all is read of an incomplete download: %+v", p)
	}
}

func TestReaderEndsWithTheDownload(t *testing.T) {
	blob := testBlob(1 << 20)
	info, ref := testInfo(t, blob)
	for name, c := range map[string]struct {
		end  func(node, io.Closer, context.CancelCauseFunc)
		want error
	}{
		"dropped":    {func(n node, _ io.Closer, _ context.CancelCauseFunc) { _ = n.Client.Drop(n.Hash()) }, ErrDropped},
		"closed":     {func(n node, _ io.Closer, _ context.CancelCauseFunc) { n.Client.Close() }, ErrDropped},
		"given up":   {func(_ node, _ io.Closer, stop context.CancelCauseFunc) { stop(os.ErrDeadlineExceeded) }, os.ErrDeadlineExceeded},
		"not wanted": {func(_ node, r io.Closer, _ context.CancelCauseFunc) { _ = r.Close() }, io.ErrClosedPipe},
	} {
		t.Run(name, func(t *testing.T) {
			n := fetch(t, 2, info, ref)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			r := n.Reader(ctx)
			defer r.Close()
			ended := make(chan error, 1)
			go func() { _, err := r.Read(make([]byte, 1)); ended <- err }()
			c.end(n, r, cancel)
			select {
			case err := <-ended:
				if !errors.Is(err, c.want) {
					t.Errorf("got error %v, want %v", err, c.want)
				}
			case <-time.After(patience):
				t.Error("the reader hangs")
			}
		})
	}
}

func TestReaderNeedsNoDownloadOnceComplete(t *testing.T) {
	blob := testBlob(2<<20 + 1)
	info, _ := testInfo(t, blob)
	n := holder(t, 2, info, blob)
	for range 2 {
		r := n.Reader(t.Context())
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, blob) {
			t.Errorf("read %d bytes (error %v), want the blob", len(got), err)
		}
	}
}
