// Package ha tests several controllers through their command line: the real samara, each on a host of its own in a
// network of the test's. It goes through what docs/ha.md promises and refuses. It needs root, and the packages that
// test/prepare installs; SAMARA_BINARY names another samara than bin/samara.
package ha

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/test/lab"
)

// patience is for what takes seconds.
const patience = 2 * time.Minute

// A site is a network with controllers.
type site struct {
	network *lab.Network
	dir     string
	binary  string
	heads   map[int]*head
}

// A head is a host, and the controller on it.
type head struct {
	*lab.Controller
	site *site
}

// newSite makes a network whose name begins with prefix.
func newSite(t *testing.T, prefix string) *site {
	t.Helper()
	if err := lab.Need(); err != nil {
		t.Fatalf("%v (test/prepare test does it)", err)
	}
	binary, err := product()
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Sweep(prefix); err != nil {
		t.Fatal(err)
	}
	network, err := lab.NewNetwork(lab.TestNetworkName(prefix), false)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", prefix+"-") // short, for it holds Unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the controllers' logs are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return &site{network: network, dir: dir, binary: binary, heads: map[int]*head{}}
}

// product returns the path of samara.
func product() (string, error) {
	path := os.Getenv("SAMARA_BINARY")
	if path == "" {
		path = "../../bin/samara"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: make build makes it; SAMARA_BINARY names another", err)
	}
	return path, nil
}

// head returns the head of that number, from 1 to 9, on a host that is made if need be. Nothing runs on it yet.
func (s *site) head(t *testing.T, number int) *head {
	t.Helper()
	if h := s.heads[number]; h != nil {
		return h
	}
	host, err := s.network.AddHost(number)
	if err != nil {
		t.Fatal(err)
	}
	h := &head{lab.NewController(host, s.binary, s.dir), s}
	s.heads[number] = h
	return h
}

// anew returns another controller on the same host, with a directory of its own.
func (h *head) anew(name string) *head {
	c := *h.Controller
	path := filepath.Join(h.site.dir, name)
	c.Dir, c.Socket, c.Log = path, path+".sock", path+".log"
	return &head{&c, h.site}
}

// form makes that many heads one cluster, of which all vote.
func (s *site) form(t *testing.T, count int) []*head {
	t.Helper()
	var heads []*head
	c := &lab.Cluster{}
	for i := range count {
		h := s.head(t, i+1)
		heads = append(heads, h)
		c.Controllers = append(c.Controllers, h.Controller)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Form(ctx, "hall", ""); err != nil {
		t.Fatal(err)
	}
	return heads
}

// whole waits until every one of heads sees that all of them live and vote, and nobody else.
func whole(t *testing.T, heads ...*head) {
	t.Helper()
	c := &lab.Cluster{}
	for _, h := range heads {
		c.Controllers = append(c.Controllers, h.Controller)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.WaitWhole(ctx); err != nil {
		t.Fatal(err)
	}
}

// leaderOf returns who leads, and the others.
func leaderOf(t *testing.T, heads ...*head) (leader *head, others []*head) {
	t.Helper()
	eventually(t, "somebody to lead", func() (bool, string) {
		s, err := heads[0].ask(t)
		if err != nil {
			return false, err.Error()
		}
		at := slices.IndexFunc(heads, func(h *head) bool { return h.Host.ID == s.Leader })
		if at < 0 {
			return false, fmt.Sprintf("%q leads", s.Leader)
		}
		leader, others = heads[at], slices.Delete(slices.Clone(heads), at, at+1)
		return true, ""
	})
	return leader, others
}

// init makes a new cluster with that name.
func (h *head) init(t *testing.T, cluster string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Init(ctx, cluster, ""); err != nil {
		t.Fatal(err)
	}
}

// serve starts the controller, and waits until it takes changes.
func (h *head) serve(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Serve(ctx); err != nil {
		t.Fatal(err)
	}
}

// start starts the controller, and waits until it answers.
func (h *head) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	if err := h.WaitStatus(ctx, func(api.Status) bool { return true }); err != nil {
		t.Fatal(err)
	}
}

// quits waits until the controller has ended by itself, with all of words in the last lines of its log.
func (h *head) quits(t *testing.T, words ...string) {
	t.Helper()
	select {
	case <-h.Process().Done():
	case <-time.After(patience):
		t.Fatalf("%s still runs; the end of its log:\n%s", h.Host.ID, h.lastLines(t))
	}
	if lines := h.lastLines(t); slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(lines, w) }) {
		t.Errorf("%s ended, want it to say %q:\n%s", h.Host.ID, words, lines)
	}
}

func (h *head) lastLines(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(h.Log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "")
}

// ask returns the controller's status.
func (h *head) ask(t *testing.T) (api.Status, error) {
	t.Helper()
	client := h.Client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return client.Status(ctx)
}

// status is ask of a controller that must answer.
func (h *head) status(t *testing.T) api.Status {
	t.Helper()
	s, err := h.ask(t)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// said is what a command line came to.
type said struct {
	status      int // its exit status
	out, stderr string
	took        time.Duration
}

func (s said) String() string {
	return fmt.Sprintf("exit status %d after %s, %q, on stderr %q", s.status, s.took.Round(time.Millisecond), s.out, s.stderr)
}

// says runs the command line on the controller's host.
func (h *head) says(t *testing.T, args ...string) said {
	t.Helper()
	cmd := h.Command(args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	began := time.Now()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return said{cmd.ProcessState.ExitCode(), out.String(), stderr.String(), time.Since(began)}
}

// unhurried is says, once more whenever the answer is to come back in some seconds.
func (h *head) unhurried(t *testing.T, args ...string) (s said) {
	t.Helper()
	eventually(t, fmt.Sprintf("an answer to samara %v", args), func() (bool, string) {
		s = h.says(t, args...)
		return !strings.Contains(s.stderr, "too many joins") && !strings.Contains(s.stderr, "it is being removed just now"), s.String()
	})
	return s
}

// samara runs the command line, which must succeed, and returns its result.
func (h *head) samara(t *testing.T, args ...string) string {
	t.Helper()
	s := h.unhurried(t, args...)
	if s.status != 0 {
		t.Fatalf("on %s: samara %v: %v", h.Host.ID, args, s)
	}
	return s.out
}

// refused runs the command line, which must fail with that exit status, without a result, and say all of words.
func (h *head) refused(t *testing.T, status int, words []string, args ...string) said {
	t.Helper()
	s := h.unhurried(t, args...)
	if s.status != status || s.out != "" || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(s.stderr, w) }) {
		t.Errorf("on %s: samara %v: %v; want exit status %d and the words %q", h.Host.ID, args, s, status, words)
	}
	return s
}

// token returns a fresh token.
func (h *head) token(t *testing.T, flags ...string) string {
	t.Helper()
	return strings.TrimSpace(h.samara(t, append([]string{"controller", "token"}, flags...)...))
}

// joining returns the command line that makes h a controller of at's cluster.
func (h *head) joining(at *head, token string, flags ...string) []string {
	return append([]string{"controller", "join", at.Host.Address.String(), "--token", token,
		"--dir", h.Dir, "--id", h.Host.ID, "--address", h.Host.Address.String()}, flags...)
}

// join makes h a controller of at's cluster and starts it.
func (h *head) join(t *testing.T, at *head) {
	t.Helper()
	h.samara(t, h.joining(at, at.token(t))...)
	h.serve(t)
}

// eventually waits until ok, which says what it saw.
func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		good, seen := ok()
		if good {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: not within %s; last seen: %s", what, patience, seen)
		case <-tick.C:
		}
	}
}

// A stage is a part of a test that needs those before it.
type stage struct {
	name string
	run  func(*testing.T)
}

func run(t *testing.T, stages []stage) {
	for _, s := range stages {
		began := time.Now()
		if !t.Run(s.name, s.run) {
			t.FailNow()
		}
		t.Logf("%s: %s", s.name, time.Since(began).Round(100*time.Millisecond))
	}
}

// exists reports whether a path is there.
func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}
