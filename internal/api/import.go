package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds on imports. An import may take hours, but a client must go on sending, and reading what it is told.
const (
	maxImports     = 4                // at a time; each reads and compresses a whole root filesystem
	importIdle     = 10 * time.Minute // without a byte from a client that is to send
	importWrite    = 30 * time.Second // for the client to take one line
	progressEvery  = 200 * time.Millisecond
	heartbeatEvery = 5 * time.Second // a line comes even if nothing moved, so that a client's loss is noticed
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
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Now().Add(importIdle)), c.SetWriteDeadline(time.Now().Add(importWrite))); err != nil {
		return fmt.Errorf("set deadlines: %w", err)
	}
	in, err := importSource(r, c)
	if err != nil {
		return err
	}
	if err := c.EnableFullDuplex(); err != nil {
		return fmt.Errorf("answer while reading: %w", err)
	}
	w.Header().Set("Content-Type", linesType)
	w.Header().Set("Connection", "close") // what an import leaves of its stream is not read to the end
	w.WriteHeader(http.StatusOK)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("begin the answer: %w", err)
	}
	lines := &lineWriter{w: w, c: c, lost: cancel}
	var p progressLine
	told := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(told)
		p.tell(lines, done)
	}()
	version, err := s.Images.Import(ctx, in, p.set)
	close(done)
	<-told
	last := importLine{Version: &version}
	if err != nil {
		failure := codeOf(err)
		last = importLine{Error: &errorBody{Code: failure.name, Text: err.Error()}}
	}
	lines.write(last)
	return nil
}

// importSource reads from the head of r what is to be imported.
func importSource(r *request, c *http.ResponseController) (ImportRequest, error) {
	in := ImportRequest{Name: r.PathValue("image"), Who: r.who, Why: r.URL.Query().Get(whyParam), Firmware: r.URL.Query().Get(firmwareParam) == "1"}
	if err := fleet.CheckName("image", in.Name); err != nil {
		return ImportRequest{}, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == tarType:
		in.Source = r.URL.Query().Get(sourceParam)
		in.Stream = &idleReader{r: r.Body, c: c}
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

// An idleReader gives each read of a body importIdle, and none once the body has ended.
type idleReader struct {
	r io.Reader
	c *http.ResponseController
}

func (r *idleReader) Read(p []byte) (int, error) {
	if err := r.c.SetReadDeadline(time.Now().Add(importIdle)); err != nil {
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

// A progressLine holds what is to be told of an import: its newest progress, and every warning.
type progressLine struct {
	mu       sync.Mutex
	last     Progress
	fresh    bool
	warnings []Progress
}

// maxWarnings bounds the warnings that wait to be told.
const maxWarnings = 1000

func (p *progressLine) set(now Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case now.Warning == "":
		p.last, p.fresh = now, true
	case len(p.warnings) < maxWarnings:
		p.warnings = append(p.warnings, now)
	}
}

// take returns what has not been taken before; with again, at least the last progress.
func (p *progressLine) take(again bool) []Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.warnings
	p.warnings = nil
	if p.fresh || again && len(out) == 0 {
		out = append(out, p.last)
	}
	p.fresh = false
	return out
}

// tell writes progress as it changes, and otherwise a heartbeat, until done is closed.
func (p *progressLine) tell(lines *lineWriter, done <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	silent := time.Duration(0)
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-tick.C:
		}
		silent += progressEvery
		for _, now := range p.take(silent >= heartbeatEvery) {
			lines.write(importLine{Progress: &now})
			silent = 0
		}
	}
}

// A lineWriter sends one line of JSON at a time. A client that does not take them is lost.
type lineWriter struct {
	w    io.Writer
	c    *http.ResponseController
	lost func()
}

func (l *lineWriter) write(line importLine) {
	b, err := json.Marshal(line)
	if err == nil {
		err = l.c.SetWriteDeadline(time.Now().Add(importWrite))
	}
	if err == nil {
		_, err = l.w.Write(append(b, '\n'))
	}
	if err == nil {
		err = l.c.Flush()
	}
	if err != nil {
		l.lost()
	}
}
