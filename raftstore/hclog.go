package raftstore

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// A raftLogger is the hclog.Logger that Raft writes to. Raft tells of each of its steps at level Info, and warns of
// each election; operators want to read neither as such. So levels go down by one, but for errors.
//
// While a controller is down, Raft complains of it several times a second: the same complaint of the same controller is
// passed on once a minute.
type raftLogger struct {
	out   *slog.Logger
	name  string
	args  []any // as given to With
	heard *complaints
}

var _ hclog.Logger = raftLogger{}

func newRaftLogger(out *slog.Logger) hclog.Logger {
	return raftLogger{out: out, name: "raft", heard: newComplaints()}
}

const (
	complainEvery = time.Minute
	maxComplaints = 256 // that are remembered
)

// complaints are what was said of other controllers lately.
type complaints struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func newComplaints() *complaints { return &complaints{last: map[string]time.Time{}} }

// again reports whether msg was said of the same controller less than a minute ago.
func (c *complaints) again(msg string, args []any, now time.Time) bool {
	key := msg
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "peer" || args[i] == "target" {
			key += fmt.Sprint(" ", args[i+1])
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.last[key]; ok && now.Sub(last) < complainEvery {
		return true
	}
	if len(c.last) >= maxComplaints {
		clear(c.last)
	}
	c.last[key] = now
	return false
}

// slogLevel returns where level appears in our log.
func slogLevel(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		return slog.LevelWarn // Raft retries; what stops a controller is returned by Run
	case level == hclog.Warn:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// Log implements hclog.Logger.
func (l raftLogger) Log(level hclog.Level, msg string, args ...any) {
	at := slogLevel(level)
	if level == hclog.Off || !l.out.Enabled(context.Background(), at) {
		return
	}
	if at > slog.LevelDebug && l.heard.again(msg, args, time.Now()) {
		return
	}
	l.out.Log(context.Background(), at, l.name+": "+msg, plainArgs(args)...)
}

// plainArgs resolves what only hclog knows, and gives errors the key that they have everywhere.
func plainArgs(args []any) []any {
	plain := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case hclog.Format:
			plain[i] = a[0]
			if format, ok := a[0].(string); ok {
				plain[i] = fmt.Sprintf(format, a[1:]...)
			}
		case string:
			if plain[i] = a; i%2 == 0 && a == "error" {
				plain[i] = "err"
			}
		default:
			plain[i] = a
		}
	}
	return plain
}

func (l raftLogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l raftLogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l raftLogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l raftLogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l raftLogger) enabled(level hclog.Level) bool {
	return l.out.Enabled(context.Background(), slogLevel(level))
}

func (l raftLogger) IsTrace() bool { return l.enabled(hclog.Trace) }
func (l raftLogger) IsDebug() bool { return l.enabled(hclog.Debug) }
func (l raftLogger) IsInfo() bool  { return l.enabled(hclog.Info) }
func (l raftLogger) IsWarn() bool  { return l.enabled(hclog.Warn) }
func (l raftLogger) IsError() bool { return l.enabled(hclog.Error) }

func (l raftLogger) ImpliedArgs() []any { return l.args }

func (l raftLogger) With(args ...any) hclog.Logger {
	l.out = l.out.With(plainArgs(args)...)
	l.args = append(l.args[:len(l.args):len(l.args)], args...)
	return l
}

func (l raftLogger) Name() string { return l.name }

func (l raftLogger) Named(name string) hclog.Logger {
	l.name += "." + name
	return l
}

func (l raftLogger) ResetNamed(name string) hclog.Logger {
	l.name = name
	return l
}

// SetLevel implements hclog.Logger. The level is the business of the slog.Handler.
func (l raftLogger) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (l raftLogger) GetLevel() hclog.Level {
	for _, level := range []hclog.Level{hclog.Debug, hclog.Warn, hclog.Error} {
		if l.enabled(level) {
			return level
		}
	}
	return hclog.Off
}

func (l raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.out.Handler(), slog.LevelDebug)
}

func (l raftLogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(o).Writer()
}
