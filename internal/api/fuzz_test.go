package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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
