package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// cutter listens on a socket and passes connections on to another, but breaks the first ones as soon as it answers. It returns
// where it listens.
func cutter(t *testing.T, to string, breaks int32) string {
	t.Helper()
	l, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var left atomic.Int32
	left.Store(breaks)
	pass := func(in net.Conn) {
		defer func() { _ = in.Close() }()
		out, err := net.Dial("unix", to)
		if err != nil {
			return
		}
		defer func() { _ = out.Close() }()
		all.Go(func() {
			_, _ = io.Copy(out, in)
			_ = out.Close()
		})
		if left.Add(-1) < 0 {
			_, _ = io.Copy(in, out)
			return
		}
		_, _ = out.Read(make([]byte, 1))
	}
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { pass(in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

func TestAChangeThatWasHeardIsMadeOnce(t *testing.T) {
	rig := newRig(t)
	c := NewSocketClient(cutter(t, rig.socket, 2))
	t.Cleanup(c.Close)
	rack := "r7"
	ch, err := c.SetNodes(t.Context(), fleet.SetNodes{Names: []string{"n1"}, Rack: &rack}, ChangeOptions{RequestID: "mine"})
	if err != nil || ch.Revision != 4 || len(ch.Changed) != 1 {
		t.Errorf("SetNodes over a connection that breaks twice: %+v, %v; want revision 4 and what changed", ch, err)
	}
	if e := rig.last(t); e.ID != "mine" || rig.State().Revision() != 4 {
		t.Errorf("entry %q at revision %d, want mine at 4", e.ID, rig.State().Revision())
	}
	// A refusal is repeated too.
	c = NewSocketClient(cutter(t, rig.socket, 1))
	t.Cleanup(c.Close)
	if _, err := c.DeleteNodes(t.Context(), []string{"n9"}, ChangeOptions{}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("DeleteNodes over a connection that breaks: %v, want ErrNotFound", err)
	}
}

func TestAChangeOfUnknownOutcomeIsToldAsSuch(t *testing.T) {
	rig := newRig(t)
	c := NewSocketClient(cutter(t, rig.socket, 1<<30))
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := c.DeleteNodes(ctx, []string{"n1"}, ChangeOptions{})
	if !errors.Is(err, ErrUncertain) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoAnswer) {
		t.Errorf("DeleteNodes over connections that break: %v, want ErrUncertain", err)
	}
	if _, err := c.Nodes(t.Context()); !errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrUncertain) {
		t.Errorf("Nodes over connections that break: %v, want ErrNoAnswer and no doubt", err)
	}
}

func TestRequestsHaveIDs(t *testing.T) {
	rig := newRig(t)
	rack := func(name, id string) (Change, error) {
		return rig.local(t).SetNodes(t.Context(), fleet.SetNodes{Names: []string{"n1"}, Rack: &name}, ChangeOptions{RequestID: id})
	}
	if _, err := rack("r1", ""); err != nil || len(rig.last(t).ID) != 32 {
		t.Errorf("SetNodes without an id: %v, id %q; want 32 digits", err, rig.last(t).ID)
	}
	first, err := rack("r2", "again")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rack("r3", ""); err != nil {
		t.Fatal(err)
	}
	second, err := rack("r2", "again")
	if err != nil || second.Revision != first.Revision || len(second.Changed) != 1 {
		t.Errorf("SetNodes with one id twice: %+v, then %+v, %v; want the same", first, second, err)
	}
	if n, _ := rig.State().Node("n1"); n.Rack != "r3" {
		t.Errorf("rack %s, want r3: what was repeated must not be made again", n.Rack)
	}
	if _, err := rack("r4", "no id!"); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("SetNodes with a bad id: %v, want ErrInvalid", err)
	}
	if _, err := rack("r4", strings.Repeat("x", fleet.MaxID+1)); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("SetNodes with a long id: %v, want ErrInvalid", err)
	}
}

func TestConditions(t *testing.T) {
	rig := newRig(t)
	c := rig.local(t)
	n, err := c.Node(t.Context(), "n1")
	if err != nil {
		t.Fatal(err)
	}
	rack := "r1"
	set := func(dry bool, conditions ...fleet.Condition) error {
		_, err := c.SetNodes(t.Context(), fleet.SetNodes{Names: []string{"n1"}, Rack: &rack}, ChangeOptions{DryRun: dry, If: conditions})
		return err
	}
	holds := fleet.Condition{Kind: "node", Name: "n1", Revision: n.Revision}
	absent := fleet.Condition{Kind: "node", Name: "n7"}
	for _, dry := range []bool{true, false} {
		if err := set(dry, holds, fleet.Condition{Kind: "network", Name: "boot", Revision: 99}); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("SetNodes on a condition that does not hold, dry run %t: %v, want ErrConflict", dry, err)
		}
	}
	if err := set(false, holds, absent); err != nil {
		t.Errorf("SetNodes on conditions that hold: %v", err)
	}
	if err := set(false, holds, absent); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("SetNodes from an old revision: %v, want ErrConflict", err)
	}
	if err := set(false, fleet.Condition{Kind: "moon"}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("SetNodes on a bad condition: %v, want ErrInvalid", err)
	}
}

func TestReadsChoose(t *testing.T) {
	rig := newRig(t)
	rig.unread = fmt.Errorf("%w: no leader", ErrNotLeader)
	for c, ok := range map[Consistency]bool{"": false, Default: false, Linearizable: false, Stale: true} {
		client := rig.local(t)
		client.Consistency = c
		if _, err := client.Nodes(t.Context()); (err == nil) != ok || !ok && (!errors.Is(err, ErrNotLeader) || !strings.Contains(err.Error(), "--stale")) {
			t.Errorf("Nodes without a leader, %q: %v; want an answer: %t, or ErrNotLeader with a way out", c, err, ok)
		}
		if _, err := client.Status(t.Context()); err != nil {
			t.Errorf("Status without a leader: %v", err)
		}
	}
	client := rig.local(t)
	client.Consistency = "fresh"
	if _, err := client.Nodes(t.Context()); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("Nodes of an unknown consistency: %v, want ErrInvalid", err)
	}
}

func TestAnswersTellTheRevisionTheyAreGivenFrom(t *testing.T) {
	rig := newRig(t)
	old := rig.State()
	setRack(t, rig.memory, "r1")
	rig.readAs = &old // as if the leader's answer had come before the change
	c := rig.local(t)
	for _, q := range []struct {
		what string
		question
		revision, says string
	}{
		{"a read of another state than the newest", question{method: "GET", path: "/v1/nodes/n1"}, "3", `"revision":3`},
		{"a stale read", question{method: "GET", path: "/v1/nodes/n1?consistency=stale"}, "4", `"rack":"r1"`},
		{"what is always stale", question{method: "GET", path: "/v1/status"}, "4", `"revision":4`},
		{"a dry run", question{method: "POST", path: "/v1/nodes/delete?dry_run=1", kind: jsonType, body: []byte(`{"names":["n1"]}`)}, "4", "dry_run"},
		{"a change", question{method: "PATCH", path: "/v1/cluster", kind: jsonType, body: []byte(`{"authorized_keys":[]}`)}, "5", `"revision":5`},
	} {
		checkRevision(t, c, q.what, q.question, q.revision, q.says)
	}
}

func checkRevision(t *testing.T, c *Client, what string, q question, revision, says string) {
	t.Helper()
	resp, _, err := c.send(t.Context(), q)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	body, err := io.ReadAll(resp.Body)
	if got := resp.Header.Get(RevisionHeader); err != nil || got != revision || !strings.Contains(string(body), says) {
		t.Errorf("%s: %s %s, %s, %v; want %s and %s", what, RevisionHeader, got, body, err, revision, says)
	}
}

func TestAnAnswerThatBreaksOffIsAskedForAgain(t *testing.T) {
	rig := newRig(t)
	var asked atomic.Int32
	torn := listen(t, rig, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"revision":`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"revision":9,"changed":[{"name":%q}]}`, r.Header.Get(RequestHeader))
	}))
	ch, err := several(t, rig, torn).DeleteNodes(t.Context(), []string{"n1"}, ChangeOptions{RequestID: "mine"})
	if err != nil || ch.Revision != 9 || ch.Changed[0].Name != "mine" || asked.Load() != 2 {
		t.Errorf("DeleteNodes, the first answer being torn: %+v, %v, asked %d times; want 2, with one id", ch, err, asked.Load())
	}
}

// several returns a client of controllers at addresses.
func several(t *testing.T, rig *rig, addresses ...string) *Client {
	t.Helper()
	c := NewClient(addresses, rig.pin, certificateOf(rig.issue(t, rig.authority, identity.OwnAdmin())))
	t.Cleanup(c.Close)
	return c
}

// listen serves the rig's cluster at another address, by h.
func listen(t *testing.T, rig *rig, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(rig.tls(l)) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	return l.Addr().String()
}

// says answers every request with an error, and counts them.
func says(err error, asked *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.WriteHeader(codeOf(err).status)
		_, _ = fmt.Fprintf(w, `{"code":%q,"error":%q}`, codeOf(err).name, err.Error())
	})
}

func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func TestClientOfSeveralControllers(t *testing.T) {
	rig := newRig(t)
	var asked atomic.Int32
	follower := listen(t, rig, says(ErrNotLeader, &asked))
	c := several(t, rig, deadAddress(t), follower, rig.address)
	rack := "r1"
	set := fleet.SetNodes{Names: []string{"n1"}, Rack: &rack}
	if ch, err := c.SetNodes(t.Context(), set, ChangeOptions{}); err != nil || ch.Revision != 4 {
		t.Errorf("SetNodes, the third controller leading: %+v, %v", ch, err)
	}
	if _, err := c.Nodes(t.Context()); err != nil {
		t.Errorf("Nodes: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the follower was asked %d times, want once: the one that answered is asked first", n)
	}
	if _, err := c.DeleteNodes(t.Context(), []string{"n9"}, ChangeOptions{}); !errors.Is(err, fleet.ErrNotFound) || strings.Contains(err.Error(), follower) {
		t.Errorf("a refused change: %v, want ErrNotFound as it is", err)
	}
	rig.imports = func(context.Context, ImportRequest, func(Progress)) (fleet.ImageVersion, error) {
		return fleet.ImageVersion{Number: 5}, nil
	}
	c = several(t, rig, deadAddress(t), rig.address)
	if v, err := c.ImportImage(t.Context(), "noble", Source{Stream: strings.NewReader("tar")}, "", func(Progress) {}); err != nil || v.Number != 5 {
		t.Errorf("ImportImage, the first controller being dead: %+v, %v", v, err)
	}
}

func TestClientTellsWhatEachControllerSaid(t *testing.T) {
	rig := newRig(t)
	var asked atomic.Int32
	dead, follower := deadAddress(t), listen(t, rig, says(fmt.Errorf("%w: no quorum", ErrUnavailable), &asked))
	_, err := several(t, rig, dead, follower).DeleteNodes(t.Context(), []string{"n1"}, ChangeOptions{})
	if !errors.Is(err, ErrNoAnswer) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("DeleteNodes: %v, want both reasons", err)
	}
	for _, part := range []string{dead + ": ", "connection refused", follower + ": ", "no quorum"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("DeleteNodes: %v, want %q in it", err, part)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the follower was asked %d times, want once: nothing was done", n)
	}
}

func TestClientLeavesASilentController(t *testing.T) {
	rig := newRig(t)
	silent := listen(t, rig, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	c := several(t, rig, silent, rig.address)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if ch, err := c.DeleteNodes(ctx, []string{"n1"}, ChangeOptions{}); err != nil || ch.Revision != 4 {
		t.Errorf("DeleteNodes, the first controller being silent: %+v, %v", ch, err)
	}
}
