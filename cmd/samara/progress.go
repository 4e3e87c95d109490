package main

import (
	"fmt"
	"io"
	"time"

	"github.com/samara-hpc/samara/internal/api"
)

// Intervals of progress lines.
const (
	redrawEvery = 200 * time.Millisecond // on a terminal, over the last line
	lineEvery   = 5 * time.Second        // elsewhere, a line of its own
)

// A progress shows how far an import or a backup has come, with its rate and the time left.
type progress struct {
	w       io.Writer
	redraw  bool
	now     func() time.Time
	shown   time.Time // when the last line was printed
	step    string    // that the line was about
	started time.Time // when the step was first heard of
	first   int64     // bytes done then
	dirty   bool      // the cursor stands behind a line that may be redrawn
}

func newProgress(w io.Writer, redraw bool) *progress {
	return &progress{w: w, redraw: redraw, now: time.Now}
}

// show prints p if it is time to, or if it begins a step.
func (s *progress) show(p api.Progress) {
	now := s.now()
	if p.Warning != "" {
		s.end()
		s.step = "" // what comes next begins a line
		_, _ = fmt.Fprintf(s.w, "warning: %s\n", printable(p.Warning))
		return
	}
	if p.Step == "" {
		return // a sign of life before the first step
	}
	every := lineEvery
	if s.redraw {
		every = redrawEvery
	}
	if p.Step == s.step && now.Sub(s.shown) < every {
		return
	}
	if p.Step != s.step {
		s.end()
		s.step, s.started, s.first = p.Step, now, p.Done
	}
	s.shown = now
	text := progressText(p, p.Done-s.first, now.Sub(s.started))
	if s.redraw {
		// Back to the first column, and clear the line (ECMA-48, EL).
		_, _ = fmt.Fprintf(s.w, "\r\x1b[K%s", text)
		s.dirty = true
		return
	}
	_, _ = fmt.Fprintln(s.w, text)
}

// end leaves the line that is being redrawn.
func (s *progress) end() {
	if s.dirty {
		_, _ = fmt.Fprintln(s.w)
		s.dirty = false
	}
}

// progressText writes one line of progress, given how many bytes took how long.
func progressText(p api.Progress, moved int64, took time.Duration) string {
	text := printable(p.Step)
	if p.Done > 0 || p.Total > 0 {
		text += "  " + size(p.Done)
	}
	if p.Total > 0 {
		text += fmt.Sprintf(" of %s (%d%%)", size(p.Total), min(100, p.Done*100/p.Total))
	}
	if p.Note != "" {
		text += "  " + printable(p.Note)
	}
	if moved <= 0 || took < time.Second {
		return text
	}
	rate := float64(moved) / took.Seconds()
	text += fmt.Sprintf("  %s/s", size(int64(rate)))
	if left := p.Total - p.Done; left > 0 {
		text += "  " + span(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
	}
	return text
}
