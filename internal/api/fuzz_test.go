package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// recorder takes an answer, and deadlines that it does not keep.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetReadDeadline(time.Time) error  { return nil }
func (recorder) SetWriteDeadline(time.Time) error { return nil }

// FuzzRequests puts any body and any query to every route that takes a body, as root does on
// the socket: the answer is JSON, and never the controller's fault.
func FuzzRequests(f *testing.F) {
	rig := newRig(f)
	var posts []route
	for _, r := range rig.server.routes() {
		if r.method != http.MethodGet && r.pattern != importImage.pattern && r.allow != controllers && r.allow != nodes {
			posts = append(posts, r)
		}
	}
	for i := range posts {
		f.Add(uint8(i), "", []byte(`{"names":["n1"],"if":[]}`))
		f.Add(uint8(i), "dry_run=1&if=node/n1@3&why=x", []byte(`{"nodes":[{"name":"n2","interfaces":[{"name":"a","ip":"10.1.0.9"}]}]}`))
		f.Add(uint8(i), "dry_run=1&if=state@4", []byte(`{"puts":[{"node":{"name":"n2","profiles":["gpu"],"bmc":{"password":"AA=="}}},{"profile":{"name":"gpu"}}],"deletes":[{"kind":"node","name":"n1"}]}`))
		f.Add(uint8(i), "why=x", []byte(`{"revision":1}`))
		f.Add(uint8(i), "force=2", []byte(`{"life_s":-1,"token":"x","to":"y","csr":"AA==","time":"2026-01-01T00:00:00Z"}`))
	}
	f.Fuzz(func(t *testing.T, which uint8, query string, body []byte) {
		r := posts[int(which)%len(posts)]
		path := strings.NewReplacer("{image}", "debian", "{network}", "boot", "{controller}", "head2").Replace(r.pattern)
		q, err := http.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, socketPeer{uid: rig.server.User}), r.method, path, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		q.URL.RawQuery = query
		q.RemoteAddr = "10.9.9.9:1"
		q.Header.Set("Content-Type", jsonType)
		w := recorder{httptest.NewRecorder()}
		rig.server.handler.ServeHTTP(w, q)
		if w.Code == http.StatusInternalServerError || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s?%s %q: %d %q", r.method, path, query, body, w.Code, w.Body)
		}
	})
}

// FuzzQueries puts any query and any header to every route that answers from a state: the answer is JSON, and never the
// controller's fault.
func FuzzQueries(f *testing.F) {
	rig := newSite(f)
	var gets []route
	for _, r := range rig.server.routes() {
		if r.reads == chosen && r.response != reflect.TypeFor[torrentFile]() {
			gets = append(gets, r)
		}
	}
	for i := range gets {
		f.Add(uint8(i), "limit=1&after=g2&resolved=1&consistency=stale", "")
		f.Add(uint8(i), "from=3&to=4&revision=3&before=4&limit=2", "")
		f.Add(uint8(i), "", `"node/n1@3"`)
	}
	f.Fuzz(func(t *testing.T, which uint8, query, tag string) {
		r := gets[int(which)%len(gets)]
		path := strings.NewReplacer("{node}", "g1", "{image}", "debian", "{network}", "boot", "{profile}", "gpu").Replace(r.pattern)
		q, err := http.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, socketPeer{uid: rig.server.User}), r.method, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.URL.RawQuery = query
		w := recorder{httptest.NewRecorder()}
		rig.server.handler.ServeHTTP(w, q)
		if w.Code == http.StatusInternalServerError || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s?%s: %d %q", r.method, path, query, w.Code, w.Body)
		}
		q.Header.Set(ifMatchHeader, tag)
		all, err := conditionsOf(q)
		if err != nil && !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("If-Match %q: %v, want ErrInvalid", tag, err)
		}
		for _, c := range all {
			if again, err := fleet.ParseCondition(c.String()); err != nil || again != c {
				t.Errorf("condition %v of %q is not read again: %v, %v", c, tag, again, err)
			}
		}
	})
}
