package mesh

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	logEvery   = time.Minute // between two lines of one kind
	maxLogKind = 256         // kinds that are told apart
)

// A lineLog turns memberlist's lines of text into records. Of one kind of line it passes one a minute on and says how
// many it kept back: a stranger can cause a line with every packet.
type lineLog struct {
	logger  *slog.Logger
	now     func() time.Time
	refused atomic.Uint64

	mu    sync.Mutex
	kinds map[string]*logKind
}

type logKind struct {
	next time.Time
	held int
}

func newLineLog(logger *slog.Logger) *lineLog {
	return &lineLog{logger: logger, now: time.Now, kinds: make(map[string]*logKind)}
}

// refusals begin the lines that memberlist writes for what it did not accept from the network.
var refusals = [...]string{
	"Decrypt packet failed",
	"discarding packet with unacceptable label",
	"discarding stream with unacceptable label",
	"failed to receive",
	"Stream connection missing",
	"cannot decode label",
	"label header cannot be empty",
	"UDP packet too short",
	"ignoring alive message",
	"Rejected node",
}

// Write takes one line from memberlist's logger.
func (l *lineLog) Write(line []byte) (int, error) {
	level, text := parseLine(string(bytes.TrimSpace(line)))
	for _, r := range refusals {
		if strings.HasPrefix(text, r) {
			l.refused.Add(1)
		}
	}
	if l.logger.Enabled(context.Background(), level) {
		if level <= slog.LevelDebug {
			l.logger.Log(context.Background(), level, "gossip: "+text)
		} else if held, ok := l.admit(kindOf(text)); ok {
			l.logger.Log(context.Background(), level, "gossip: "+text, "suppressed", held)
		}
	}
	return len(line), nil
}

// admit reports whether a line of a kind may be written now, and how many were held back since the last one.
func (l *lineLog) admit(kind string) (held int, ok bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	if k == nil {
		if len(l.kinds) >= maxLogKind {
			clear(l.kinds)
		}
		k = new(logKind)
		l.kinds[kind] = k
	}
	if now.Before(k.next) {
		k.held++
		return 0, false
	}
	held, k.held, k.next = k.held, 0, now.Add(logEvery)
	return held, true
}

// parseLine splits "[WARN] memberlist: text". Levels come out lower than memberlist has them: what it calls an error is
// mostly a packet from somebody else.
func parseLine(line string) (slog.Level, string) {
	level := slog.LevelDebug
	if strings.HasPrefix(line, "[") {
		name, rest, ok := strings.Cut(line[1:], "]")
		if ok {
			line = strings.TrimSpace(rest)
		}
		switch name {
		case "ERR", "ERROR":
			level = slog.LevelWarn
		case "WARN":
			level = slog.LevelInfo
		}
	}
	return level, strings.TrimPrefix(line, "memberlist: ")
}

// kindOf returns the part of a line that does not vary: the words before the first name, number or address.
func kindOf(text string) string {
	if i := strings.IndexAny(text, ":\"'(0123456789"); i >= 0 {
		return text[:i]
	}
	return text
}
