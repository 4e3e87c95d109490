package raftstore

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestRaftLogsAtOurLevels(t *testing.T) {
	for phrase, c := range map[string]struct {
		log  func(hclog.Logger)
		want string
	}{
		"steps are for debugging": {func(l hclog.Logger) { l.Info("entering leader state", "term", 3) }, `level=DEBUG msg="raft: entering leader state" term=3`},
		"elections are told":      {func(l hclog.Logger) { l.Warn("election") }, `level=INFO msg="raft: election"`},
		"errors have our key":     {func(l hclog.Logger) { l.Error("oh", "error", errors.New("no route")) }, `level=WARN msg="raft: oh" err="no route"`},
		"formats are resolved":    {func(l hclog.Logger) { l.Error("oh", "got", hclog.Fmt("%d / %d", 1, 2)) }, `level=WARN msg="raft: oh" got="1 / 2"`},
		"parts have names":        {func(l hclog.Logger) { l.Named("net").With("peer", "c2").Error("oh") }, `level=WARN msg="raft.net: oh" peer=c2`},
		"a standard logger":       {func(l hclog.Logger) { l.StandardLogger(nil).Print("oh") }, `level=DEBUG msg=oh`},
	} {
		t.Run(phrase, func(t *testing.T) {
			var out strings.Builder
			c.log(newRaftLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
				Level: slog.LevelDebug,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					if a.Key == slog.TimeKey {
						return slog.Attr{}
					}
					return a
				},
			}))))
			if got := strings.TrimSpace(out.String()); got != c.want {
				t.Errorf("logged %s, want %s", got, c.want)
			}
		})
	}
}
