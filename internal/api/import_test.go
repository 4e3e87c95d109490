package api

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

func admin(t *testing.T, r *rig) *Client {
	return r.remote(t, identity.OwnAdmin())
}

func TestImportOfAStream(t *testing.T) {
	rig := newRig(t)
	const files, content = 40, 100_000
	rig.imports = func(_ context.Context, r ImportRequest, progress func(Progress)) (fleet.ImageVersion, error) {
		if r.Name != "noble" || r.Path != "" || r.Source != "a pipe" || r.Who != "admin/admin" || r.Why != "try it" {
			return fleet.ImageVersion{}, fmt.Errorf("%w request: %+v", fleet.ErrInvalid, r)
		}
		in := tar.NewReader(r.Stream)
		total := 0
		for {
			if _, err := in.Next(); errors.Is(err, io.EOF) {
				return fleet.ImageVersion{Number: 7, Root: fleet.Blob{Digest: fleet.Digest{9}, Size: int64(total)}}, nil
			} else if err != nil {
				return fleet.ImageVersion{}, err
			}
			n, err := drain(in)
			if err != nil {
				return fleet.ImageVersion{}, err
			}
			total += n
			progress(Progress{Step: "read", Done: int64(total)})
		}
	}
	pr, pw := io.Pipe()
	heard := make(chan struct{})
	go func() {
		w := tar.NewWriter(pw)
		for i := range files {
			if i == files/2 {
				<-heard // the answer flows while the request does
			}
			err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Size: content, Mode: 0o644})
			if err == nil {
				_, err = w.Write(make([]byte, content))
			}
			if err != nil {
				pw.CloseWithError(err)
				return
			}
		}
		pw.CloseWithError(w.Close())
	}()
	lines := 0
	v, err := admin(t, rig).ImportImage(t.Context(), "noble", Source{Stream: pr, Name: "a pipe"}, "try it", func(p Progress) {
		if lines++; lines == 1 {
			close(heard)
		}
		if p.Step != "read" || p.Done <= 0 {
			t.Errorf("progress %+v", p)
		}
	})
	if err != nil || v.Number != 7 || v.Root.Size != files*content {
		t.Errorf("ImportImage: %+v, %v; want version 7 of %d bytes", v, err, files*content)
	}
}

func TestImportOfAPath(t *testing.T) {
	rig := newRig(t)
	rig.imports = func(_ context.Context, r ImportRequest, _ func(Progress)) (fleet.ImageVersion, error) {
		if r.Path != "/srv/rootfs" || r.Stream != nil || r.Source != "/srv/rootfs" || r.Who != localWho {
			return fleet.ImageVersion{}, fmt.Errorf("%w request: %+v", fleet.ErrInvalid, r)
		}
		return fleet.ImageVersion{Number: 1}, nil
	}
	if v, err := rig.local(t).ImportImage(t.Context(), "noble", Source{Path: "/srv/./rootfs/"}, "", func(Progress) {}); err != nil || v.Number != 1 {
		// The source is the cleaned path where the client named none.
		t.Errorf("ImportImage of a path over the socket: %+v, %v", v, err)
	}
	if _, err := admin(t, rig).ImportImage(t.Context(), "noble", Source{Path: "/srv/rootfs"}, "", func(Progress) {}); !errors.Is(err, ErrForbidden) {
		t.Errorf("ImportImage of a path from afar: %v, want ErrForbidden", err)
	}
}

func TestImportTellsEveryWarning(t *testing.T) {
	rig := newRig(t)
	rig.imports = func(_ context.Context, _ ImportRequest, progress func(Progress)) (fleet.ImageVersion, error) {
		for i := range 3 {
			progress(Progress{Step: "read", Done: int64(i)})
			progress(Progress{Warning: fmt.Sprint("no ", i)})
		}
		return fleet.ImageVersion{Number: 1}, nil
	}
	var told []string
	last := Progress{}
	if _, err := rig.local(t).ImportImage(t.Context(), "noble", Source{Path: "/x"}, "", func(p Progress) {
		if p.Warning != "" {
			told = append(told, p.Warning)
			return
		}
		last = p
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, ", "); got != "no 0, no 1, no 2" || last.Done != 2 {
		t.Errorf("told %q and %+v; want every warning and the last progress", got, last)
	}
}

func TestImportThatFails(t *testing.T) {
	rig := newRig(t)
	rig.imports = func(_ context.Context, r ImportRequest, _ func(Progress)) (fleet.ImageVersion, error) {
		_, err := io.CopyN(io.Discard, r.Stream, 10)
		return fleet.ImageVersion{}, errors.Join(fmt.Errorf("%w tar: no kernel in it", fleet.ErrInvalid), err)
	}
	// Most of the stream is never read: the client must learn of the error all the same.
	_, err := admin(t, rig).ImportImage(t.Context(), "noble", Source{Stream: strings.NewReader(strings.Repeat("x", 64<<20))}, "", func(Progress) {})
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "no kernel") {
		t.Errorf("ImportImage: %v, want ErrInvalid that tells of the kernel", err)
	}
}

func TestImportEndsWithItsClient(t *testing.T) {
	for what, from := range map[string]func(*testing.T) Source{
		"of a path":                func(*testing.T) Source { return Source{Path: "/x"} },
		"of a stream that is read": func(*testing.T) Source { return Source{Stream: strings.NewReader("short")} },
		"of a stream that hangs": func(t *testing.T) Source {
			r, w := io.Pipe()
			t.Cleanup(func() { _ = w.Close() })
			return Source{Stream: r}
		},
	} {
		t.Run(what, func(t *testing.T) {
			rig := newRig(t)
			started, ended := make(chan struct{}), make(chan error, 1)
			rig.imports = func(ctx context.Context, r ImportRequest, progress func(Progress)) (fleet.ImageVersion, error) {
				progress(Progress{Step: "read", Done: 1})
				close(started)
				if r.Stream != nil {
					if _, err := drain(r.Stream); err != nil {
						ended <- err
						return fleet.ImageVersion{}, err
					}
				}
				<-ctx.Done()
				ended <- ctx.Err()
				return fleet.ImageVersion{}, ctx.Err()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			asked := make(chan error, 1)
			c := rig.local(t)
			source := from(t)
			go func() {
				_, err := c.ImportImage(ctx, "noble", source, "", func(Progress) {})
				asked <- err
			}()
			<-started
			cancel()
			if err := <-asked; !errors.Is(err, context.Canceled) {
				t.Errorf("ImportImage: %v, want Canceled", err)
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Error("the import went on without its client")
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the import did not notice that its client left")
			}
		})
	}
}

func TestImportsAreBounded(t *testing.T) {
	rig := newRig(t)
	started, release := make(chan struct{}), make(chan struct{})
	rig.imports = func(context.Context, ImportRequest, func(Progress)) (fleet.ImageVersion, error) {
		started <- struct{}{}
		<-release
		return fleet.ImageVersion{}, nil
	}
	c := rig.local(t)
	ended := make(chan error, maxImports)
	for range maxImports {
		go func() {
			_, err := c.ImportImage(t.Context(), "noble", Source{Path: "/x"}, "", func(Progress) {})
			ended <- err
		}()
		<-started
	}
	if _, err := c.ImportImage(t.Context(), "noble", Source{Path: "/x"}, "", func(Progress) {}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one import too many: %v, want ErrUnavailable", err)
	}
	close(release)
	for range maxImports {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
