package bootagent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// NewLog returns a logger into the kernel's log, which shows on every console, outlives the switch to the image, and is
// found in its journal. It opens /dev/kmsg when it first writes, and uses standard error while there is none.
func NewLog() *slog.Logger {
	return slog.New(kmsgHandler{out: &kmsg{limit: rate.NewLimiter(5, 100)}})
}

// A kmsg writes lines to the kernel's log, at most so many: a node has a thousand neighbours who may all misbehave.
type kmsg struct {
	mu      sync.Mutex
	file    *os.File
	limit   *rate.Limiter
	dropped int
}

// maxKmsg keeps a line below what /dev/kmsg takes in one write (LOG_LINE_MAX, 1024 less a prefix).
const maxKmsg = 900

func (k *kmsg) write(priority int, text string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.limit.Allow() {
		k.dropped++
		return nil
	}
	if k.dropped > 0 {
		text = fmt.Sprintf("%s (%d lines before this one dropped)", text, k.dropped)
		k.dropped = 0
	}
	line := "samara: " + strings.Map(printable, text)
	if len(line) > maxKmsg {
		line = strings.ToValidUTF8(line[:maxKmsg], "") + "…"
	}
	if k.file == nil {
		f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
		if err != nil {
			_, err = fmt.Fprintln(os.Stderr, line)
			return err
		}
		k.file = f
	}
	_, err := fmt.Fprintf(k.file, "<%d>%s\n", priority, line)
	return err
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// A kmsgHandler is a slog.Handler over a kmsg. Info is written as a notice, which shows on consoles that hide what
// drivers have to say.
type kmsgHandler struct {
	out    *kmsg
	attrs  []slog.Attr
	prefix string
}

func (h kmsgHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h kmsgHandler) Handle(_ context.Context, r slog.Record) error {
	priority := 5
	switch {
	case r.Level >= slog.LevelError:
		priority = 3
	case r.Level >= slog.LevelWarn:
		priority = 4
	}
	var text, reason strings.Builder
	text.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		if a.Key == "err" {
			fmt.Fprintf(&reason, ": %s", a.Value)
		} else {
			fmt.Fprintf(&text, " %s=%s", a.Key, a.Value)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(func(a slog.Attr) bool { a.Key = h.prefix + a.Key; return add(a) })
	return h.out.write(priority, text.String()+reason.String())
}

func (h kmsgHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		all = append(all, a)
	}
	h.attrs = all
	return h
}

func (h kmsgHandler) WithGroup(name string) slog.Handler {
	h.prefix += name + "."
	return h
}
