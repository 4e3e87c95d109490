package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Bounds on answers of lines.
const (
	lineTime       = 30 * time.Second // for the client to take one line
	progressEvery  = 200 * time.Millisecond
	heartbeatEvery = 5 * time.Second // a line comes even if nothing moved, so that a client's loss is noticed
)

// A lineWriter answers with one line of JSON at a time. A client that does not take them is lost.
type lineWriter struct {
	w    io.Writer
	c    *http.ResponseController
	lost func()
}

// beginLines begins a successful answer of lines. The lineWriter calls lost when a line cannot be sent.
func beginLines(w http.ResponseWriter, lost func()) (*lineWriter, error) {
	return beginStream(w, linesType, lost)
}

// beginStream is beginLines for lines that are of another type.
func beginStream(w http.ResponseWriter, kind string, lost func()) (*lineWriter, error) {
	c := http.NewResponseController(w)
	if err := c.SetWriteDeadline(time.Now().Add(lineTime)); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("begin the answer: %w", err)
	}
	return &lineWriter{w: w, c: c, lost: lost}, nil
}

func (l *lineWriter) write(line any) {
	b, err := json.Marshal(line)
	if err != nil {
		l.lost()
		return
	}
	l.writeLine(append(b, '\n'))
}

// writeLine sends a line that is JSON with its end.
func (l *lineWriter) writeLine(line []byte) {
	err := l.c.SetWriteDeadline(time.Now().Add(lineTime))
	if err == nil {
		_, err = l.w.Write(line)
	}
	if err == nil {
		err = l.c.Flush()
	}
	if err != nil {
		l.lost()
	}
}

// whileTelling runs do and sends what it passes to progress. No line is sent any more when it returns do's error.
func (l *lineWriter) whileTelling(do func(progress func(Progress)) error, line func(Progress) any) error {
	var p progressLine
	told, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		p.tell(l, line, done)
	}()
	err := do(p.set)
	close(done)
	<-told
	return err
}

// A progressLine holds what is to be told of a long task: its newest progress, and every warning.
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

// tell writes progress as it changes, and otherwise a heartbeat, until done is closed. line makes a line of it.
func (p *progressLine) tell(lines *lineWriter, line func(Progress) any, done <-chan struct{}) {
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
			lines.write(line(now))
			silent = 0
		}
	}
}

// eachLine calls each for every line of JSON in an answer of at, until each says that it was the last. what names the
// answer in errors.
func eachLine[T any](ctx context.Context, resp *http.Response, at, what string, each func(T) (bool, error)) error {
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line T
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("answer of %s: %w", at, err)
		}
		switch last, err := each(line); {
		case err != nil && ctx.Err() != nil:
			return lost(ctx, at, err) // what the other end says of it is only an echo
		case last || err != nil:
			return err
		}
	}
	err := lines.Err()
	if err == nil {
		err = fmt.Errorf("the controller stopped before the %s was complete", what)
	}
	return lost(ctx, at, err)
}
