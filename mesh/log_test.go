package mesh

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLogHoldsRepetitionsBack(t *testing.T) {
	var out bytes.Buffer
	l := newLineLog(slog.New(slog.NewTextHandler(&out, nil)))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l.now = func() time.Time { return now }
	for i := range 100 {
		fmt.Fprintf(l, "[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.%d:7603\n", i)
	}
	fmt.Fprintln(l, `[ERR] memberlist: discarding packet with unacceptable label "x": from=10.0.0.1:7603`)
	fmt.Fprintln(l, "[DEBUG] memberlist: Stream connection from=10.0.0.1:7603")
	fmt.Fprintln(l, "[WARN] memberlist: Refuting a suspect message (from: n7)")
	now = now.Add(logEvery)
	fmt.Fprintln(l, "[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.1:7603")

	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{
		`level=WARN msg="gossip: Decrypt packet failed: no installed keys could decrypt the message from=10.0.0.0:7603" suppressed=0`,
		`level=WARN msg="gossip: discarding packet`,
		`level=INFO msg="gossip: Refuting a suspect message (from: n7)"`,
		`from=10.0.0.1:7603" suppressed=99`,
	} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Fatalf("line %d of\n%s\nshould contain %s", i, &out, want)
		}
	}
	if len(lines) != 4 {
		t.Errorf("got %d lines, want 4:\n%s", len(lines), &out)
	}
	if got := l.refused.Load(); got != 102 {
		t.Errorf("got %d refusals, want 102", got)
	}
}

func TestLogRemembersABoundedNumberOfKinds(t *testing.T) {
	l := newLineLog(slog.New(slog.DiscardHandler))
	for i := range 10 * maxLogKind {
		l.admit(fmt.Sprint(i))
	}
	if n := len(l.kinds); n > maxLogKind {
		t.Errorf("%d kinds are remembered, want at most %d", n, maxLogKind)
	}
}
