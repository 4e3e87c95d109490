package ha

import (
	"bufio"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/samara-hpc/samara/internal/api"
)

// nodes returns the names of the nodes, as the flags ask for them.
func (h *head) nodes(t *testing.T, flags ...string) []string {
	t.Helper()
	return strings.Fields(h.samara(t, append([]string{"node", "list", "-o", "name"}, flags...)...))
}

func (g *growth) reads(t *testing.T) {
	all := []*head{g.first, g.second, g.third}
	for i, h := range all {
		g.wantNodes = append(g.wantNodes, fmt.Sprintf("r%d", i+1))
		h.samara(t, "node", "add", g.wantNodes[i])
		for _, at := range all {
			for _, flags := range [][]string{nil, {"--consistency", "default"}, {"--consistency", "linearizable"}} {
				if got := at.nodes(t, flags...); !slices.Equal(got, g.wantNodes) {
					t.Errorf("added at %s, read at %s with %v at once: %v, want %v", h.Host.ID, at.Host.ID, flags, got, g.wantNodes)
				}
			}
		}
		if got := h.nodes(t, "--stale"); !slices.Equal(got, g.wantNodes) {
			t.Errorf("added at %s, and its own copy has %v", h.Host.ID, got)
		}
	}
	g.second.refused(t, 2, []string{"--consistency", "linearizable"}, "node", "list", "--consistency", "eventually")
	g.second.refused(t, 2, []string{"--stale goes without --consistency linearizable"}, "node", "list", "--stale", "--consistency", "linearizable")
	g.second.refused(t, 2, []string{"node", "r1", "already exists"}, "node", "add", "r1")
}

// noQuorum kills two of three, asks the one that is left, and brings the others back.
func (g *growth) noQuorum(t *testing.T) {
	_, followers := leaderOf(t, g.first, g.second, g.third)
	left := followers[0]
	var others []*head
	for _, h := range []*head{g.first, g.second, g.third} {
		if h != left {
			others = append(others, h)
			h.Kill()
		}
	}
	eventually(t, "the last one to see that it is alone", func() (bool, string) {
		s := left.status(t)
		dead := slices.DeleteFunc(s.Controllers, func(v api.ControllerView) bool { return v.Alive })
		return !s.Quorum && s.Leader == "" && len(dead) == 2, fmt.Sprintf("%+v", s)
	})
	var asking sync.WaitGroup
	ask := func(check func(said), args ...string) { asking.Go(func() { check(left.says(t, args...)) }) }
	ask(func(s said) {
		if s.status != 0 || s.stderr != "" || !slices.Equal(strings.Fields(s.out), g.wantNodes) {
			t.Errorf("a stale read: %v", s)
		}
	}, "node", "list", "-o", "name", "--stale")
	ask(func(s said) {
		note := "samara: no controller leads; this is the last known state, revision "
		if s.status != 0 || !strings.HasPrefix(s.stderr, note) || strings.Count(s.stderr, "\n") != 1 || !slices.Equal(strings.Fields(s.out), g.wantNodes) {
			t.Errorf("a read by default: %v", s)
		}
		t.Logf("a read by default falls back after %s", s.took)
	}, "node", "list", "-o", "name")
	refused := func(what string, words ...string) func(said) {
		return func(s said) {
			if s.status != 1 || s.out != "" || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s.stderr, w) }) {
				t.Errorf("%s: %v; want the words %q", what, s, words)
			}
			t.Logf("%s is refused after %s", what, s.took)
		}
	}
	ask(refused("a linearizable read", "a majority of the controllers is needed", "--stale"), "node", "list", "--consistency", "linearizable")
	ask(refused("a change", "a majority of the controllers is needed", "samara controller recover", "samara status"), "node", "add", "late")
	ask(refused("an import", "1 of 3 controllers answer", "start samara on "+others[0].Host.ID+", "+others[1].Host.ID),
		"image", "import", filepath.Join(g.dir, "small.tar"), "debian")
	ask(refused("a token", "a majority of the controllers is needed", "samara controller recover"), "controller", "token")
	ask(func(s said) {
		for _, words := range []string{"nobody leads", "changes are refused, known nodes still boot", "1 of 3 voters answer", "samara controller recover"} {
			if !strings.Contains(s.out, words) {
				t.Errorf("status lacks %q: %v", words, s)
			}
		}
	}, "status")
	asking.Wait()
	for _, h := range others {
		h.start(t)
	}
	whole(t, g.first, g.second, g.third)
	if got := left.nodes(t); !slices.Equal(got, g.wantNodes) {
		t.Errorf("nodes after the others came back: %v, want %v", got, g.wantNodes)
	}
	if out := left.samara(t, "image", "list", "-o", "name"); strings.Count(out, "debian") != 1 {
		t.Errorf("images after an import that was refused: %q", out)
	}
}

// watch has somebody at a desk watch all three controllers, kills each once, and expects every change once.
func (g *growth) watch(t *testing.T) {
	all := []*head{g.first, g.second, g.third}
	cmd := g.network.Command(g.binary, "watch", "-o", "json", "--identity", filepath.Join(g.first.Dir, "admin"),
		"--after", fmt.Sprint(g.first.status(t).Revision), "--server", "10.77.0.1,10.77.0.2,10.77.0.3")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var mu sync.Mutex
	var seen []string
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l api.WatchLine
			err := json.Unmarshal(lines.Bytes(), &l)
			mu.Lock()
			for _, d := range l.Changed {
				seen = append(seen, d.Action+" "+d.Kind+" "+d.Name)
			}
			if err != nil {
				seen = append(seen, err.Error())
			}
			mu.Unlock()
		}
	}()
	want := []string{}
	told := func(at *head, name string) {
		t.Helper()
		at.samara(t, "node", "add", name)
		want = append(want, "add node "+name)
		eventually(t, "the watch to tell of "+name, func() (bool, string) {
			mu.Lock()
			defer mu.Unlock()
			return len(seen) >= len(want), fmt.Sprint(seen)
		})
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(seen, want) {
			t.Errorf("the watch told %q, want %q", seen, want)
		}
	}
	told(g.second, "w0")
	for i, h := range all {
		h.Kill()
		told(all[(i+1)%len(all)], fmt.Sprintf("w%d", i+1))
		h.serve(t)
	}
	whole(t, all...)
}
