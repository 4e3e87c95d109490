package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// Bounds on imports. An import may take hours, but a client must go on sending, and reading what it is told.
const (
	maxImports = 4                // at a time; each reads and compresses a whole root filesystem
	importIdle = 10 * time.Minute // without a byte from a client that is to send
)

// sourceParam is the query parameter with what the user called the source of a stream.
const sourceParam = "source"

// firmwareParam is the query parameter that asks for firmware in the initramfs, with the value "1".
const firmwareParam = "firmware"

// importImage answers with lines of JSON, the last of which holds the result or the error. Errors before the first
// line are answered as everywhere.
func (s *Server) importImage(w http.ResponseWriter, r *request) error {
	select {
	case s.imports <- struct{}{}:
		defer func() { <-s.imports }()
	default:
		return fmt.Errorf("%w: %d imports are under way; wait for one to end", ErrUnavailable, maxImports)
	}
	ctx, cancel := s.untilRevoked(r.Context(), r)
	defer cancel()
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Now().Add(importIdle)), c.SetWriteDeadline(time.Now().Add(lineTime))); err != nil {
		return fmt.Errorf("set deadlines: %w", err)
	}
	in, err := importSource(ctx, r, c)
	if err != nil {
		return err
	}
	if err := c.EnableFullDuplex(); err != nil {
		return fmt.Errorf("answer while reading: %w", err)
	}
	w.Header().Set("Connection", "close") // what an import leaves of its stream is not read to the end
	lines, err := beginLines(w, cancel)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // of a client that sends nothing, too
	defer stop()
	var version fleet.ImageVersion
	err = lines.whileTelling(func(progress func(Progress)) (err error) {
		version, err = s.Images.Import(ctx, in, progress)
		return err
	}, func(p Progress) any { return importLine{Progress: &p} })
	last := importLine{Version: &version}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, identity.ErrRevoked) {
		err = cause
	}
	if err != nil {
		last = importLine{Error: bodyOf(err)}
	}
	lines.write(last)
	return nil
}

// importSource reads from the head of r what is to be imported.
func importSource(ctx context.Context, r *request, c *http.ResponseController) (ImportRequest, error) {
	in := ImportRequest{Name: r.PathValue("image"), Who: r.who, Why: r.URL.Query().Get(whyParam), Firmware: r.URL.Query().Get(firmwareParam) == "1"}
	if err := fleet.CheckName("image", in.Name); err != nil {
		return ImportRequest{}, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == tarType:
		in.Source = r.URL.Query().Get(sourceParam)
		in.Stream = &idleReader{ctx: ctx, r: r.Body, c: c}
		return in, nil
	case err != nil || kind != jsonType:
		return ImportRequest{}, fmt.Errorf("%w request: its Content-Type is %q, want %s or %s", fleet.ErrInvalid, r.Header.Get("Content-Type"), tarType, jsonType)
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxBody)
	var body importBody
	if err := decode(r, &body); err != nil {
		return ImportRequest{}, err
	}
	// The body has been read, and what the read deadline would now cut short is the watch for the client's leaving.
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return ImportRequest{}, fmt.Errorf("set deadline: %w", err)
	}
	switch {
	case !r.local:
		return ImportRequest{}, fmt.Errorf("import of path %s: %w from afar; send a tar stream", body.Path, ErrForbidden)
	case !filepath.IsAbs(body.Path) || strings.ContainsRune(body.Path, 0):
		return ImportRequest{}, fmt.Errorf("%w path %q: want an absolute one", fleet.ErrInvalid, body.Path)
	}
	in.Path, in.Source = filepath.Clean(body.Path), body.Source
	if in.Source == "" {
		in.Source = in.Path
	}
	return in, nil
}

// An idleReader gives each read of a body importIdle, and none once the body or ctx has ended.
type idleReader struct {
	ctx context.Context
	r   io.Reader
	c   *http.ResponseController
}

func (r *idleReader) Read(p []byte) (int, error) {
	if err := r.c.SetReadDeadline(time.Now().Add(importIdle)); err != nil {
		return 0, err
	}
	if err := r.ctx.Err(); err != nil { // after the deadline is set: when ctx ends, another is
		return 0, err
	}
	n, err := r.r.Read(p)
	if errors.Is(err, io.EOF) {
		if err := r.c.SetReadDeadline(time.Time{}); err != nil {
			return n, err
		}
	}
	return n, err
}
