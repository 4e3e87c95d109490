package raftstore

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

func TestRaftComplainsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := newRaftLogger(slog.New(slog.NewTextHandler(&out, nil)))
		for range 3 * 60 {
			l.Error("failed to heartbeat to", "peer", "c2", "error", errors.New("refused by port "+time.Now().String()))
			l.Error("failed to heartbeat to", "peer", "c3")
			time.Sleep(time.Second)
		}
		for i := range 2 * maxComplaints {
			l.Error("oh", "peer", i)
		}
		if got := strings.Count(out.String(), "peer=c2"); got != 3 {
			t.Errorf("in three minutes c2 was complained of %d times, want 3", got)
		}
		if got := len(l.(raftLogger).heard.last); got > maxComplaints {
			t.Errorf("%d complaints are remembered, at most %d", got, maxComplaints)
		}
	})
}
