package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// taken fills places, and returns what empties them.
func taken(t *testing.T, p places) (empty func()) {
	t.Helper()
	all := make([]func(), cap(p))
	for i := range all {
		giveBack, err := p.take("tests")
		if err != nil {
			t.Fatal(err)
		}
		all[i] = giveBack
	}
	return func() {
		for _, giveBack := range all {
			giveBack()
		}
	}
}

func TestWhatCostsMuchIsBounded(t *testing.T) {
	rig := newSite(t)
	c := rig.local(t)
	s := rig.server
	edit := `{"puts":[{"node":{"name":"g1","profiles":["all"],"rack":"r1"}}]}`
	for what, x := range map[string]struct {
		of                 places
		method, path, body string
	}{
		"an edit":                  {s.edits, http.MethodPost, "/v1/configuration", edit},
		"a dry run":                {s.dryEdits, http.MethodPost, "/v1/configuration?dry_run=1", edit},
		"a difference":             {s.recalling, http.MethodGet, "/v1/difference?from=3", ""},
		"an earlier revision":      {s.recalling, http.MethodGet, "/v1/configuration?revision=3", ""},
		"a rollback":               {s.recalling, http.MethodPost, "/v1/rollback", `{"revision":4}`},
		"what a rollback would do": {s.recalling, http.MethodPost, "/v1/rollback?dry_run=1", `{"revision":3}`},
	} {
		empty := taken(t, x.of)
		got := askPlainly(t, c, x.method, x.path, x.body)
		if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, `"busy"`) || got.Header.Get("Retry-After") != "1" {
			t.Errorf("%s too many: %s %s, Retry-After %q; want 503, busy and 1", what, got.Status, got.body, got.Header.Get("Retry-After"))
		}
		if got := askPlainly(t, c, http.MethodGet, "/v1/configuration", ""); got.StatusCode != http.StatusOK {
			t.Errorf("the configuration of now, beside %s: %s %s", what, got.Status, got.body)
		}
		empty()
		if got := askPlainly(t, c, x.method, x.path, x.body); got.StatusCode != http.StatusOK || len(x.of) != 0 {
			t.Errorf("%s afterwards: %s %s, %d places taken", what, got.Status, got.body, len(x.of))
		}
	}
}

// busyFirst answers busy some times, and then as h does.
func busyFirst(times int32, h http.Handler, asked *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= times {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintf(w, `{"code":"busy","error":"busy: with others"}`)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestTheClientWaitsForABusyController(t *testing.T) {
	rig := newRig(t)
	var asked atomic.Int32
	c := several(t, rig, listen(t, rig, busyFirst(2, rig.server.handler, &asked)))
	if got, err := c.Compare(t.Context(), 3, 0); err != nil || got.From != 3 || asked.Load() != 3 {
		t.Errorf("Compare: %+v, %v, asked %d times; want an answer to the third", got, err, asked.Load())
	}
	asked.Store(0)
	if got, err := c.DeleteNodes(t.Context(), []string{"n1"}, ChangeOptions{}); err != nil || got.Revision != 4 {
		t.Errorf("DeleteNodes: %+v, %v; want it made once", got, err)
	}

	// One that stays busy is left for another, and given up when the caller has waited enough.
	asked.Store(-1 << 30)
	crowded := listen(t, rig, busyFirst(0, rig.server.handler, &asked))
	if _, err := several(t, rig, crowded, rig.address).Compare(t.Context(), 3, 0); err != nil {
		t.Errorf("Compare, the first of two controllers being busy: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := several(t, rig, crowded).Compare(ctx, 3, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("Compare at a controller that stays busy: %v, want ErrBusy", err)
	}
}
