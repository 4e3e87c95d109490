package bootagent

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/mesh"
)

// A hand is a giver that remembers what it was told, and a checker that says what a test wants.
type hand struct {
	limits []int64
	pauses []bool
	looks  int
	runs   int
	file   func() (bool, error)
	run    func() (bool, error)
}

func (h *hand) SetUploadLimit(n int64) { h.limits = append(h.limits, n) }
func (h *hand) Pause(p bool)           { h.pauses = append(h.pauses, p) }

func (h *hand) exists(context.Context, string) (bool, error) {
	h.looks++
	return h.file()
}

func (h *hand) succeeds(context.Context, string) (bool, error) {
	h.runs++
	return h.run()
}

// keepPolicy runs a steward in a bubble until stop is called.
func keepPolicy(h *hand) (p *policy, line *timeline, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	p, line = &policy{}, newTimeline()
	s := &steward{log: quietLog(), policy: p, timeline: line, giver: h, checks: h, since: time.Now()}
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	synctest.Wait()
	return p, line, func() { cancel(); <-done }
}

func TestUploadLimitFollowsThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hand{}
		p, _, stop := keepPolicy(h)
		for _, limit := range []int64{1 << 30, 1 << 30, 0} {
			p.learn(fleet.Seeding{NodeUpload: limit}, "")
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		stop()
		if want := []int64{0, 1 << 30, 0}; !slices.Equal(h.limits, want) || h.looks+h.runs > 0 || len(h.pauses) > 0 {
			t.Errorf("limits %v, want %v; %d looks, %d runs, pauses %v without a file or a command", h.limits, want, h.looks, h.runs, h.pauses)
		}
	})
}

func TestNodePausesWhileAJobRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var job, busy atomic.Bool
		h := &hand{file: func() (bool, error) { return job.Load(), nil }, run: func() (bool, error) { return busy.Load(), nil }}
		p, _, stop := keepPolicy(h)
		defer stop()
		p.learn(fleet.Seeding{PauseFile: "/run/job", PauseCommand: "pgrep solver"}, "")
		synctest.Wait()
		want := func(when, why string, pauses ...bool) {
			t.Helper()
			if now, _ := p.paused(); now != (pause{why: why}) || !slices.Equal(h.pauses, pauses) {
				t.Errorf("%s: paused by %+v, told %v; want %q, %v", when, now, h.pauses, why, pauses)
			}
		}
		want("at first", "")
		job.Store(true)
		time.Sleep(pauseFileEvery + time.Second)
		synctest.Wait()
		want("when the file is there", "file /run/job exists", true)
		busy.Store(true)
		time.Sleep(pauseCommandEvery)
		synctest.Wait()
		want("when the command agrees", "file /run/job exists", true)
		job.Store(false)
		time.Sleep(pauseFileEvery)
		synctest.Wait()
		want("when the file is gone", `command "pgrep solver" says so`, true, true)
		p.learn(fleet.Seeding{}, "")
		synctest.Wait()
		want("when nobody wants it any more", "", true, true, false)
		looks := h.looks
		time.Sleep(time.Hour)
		synctest.Wait()
		if h.looks != looks {
			t.Errorf("the file was looked at %d times after that", h.looks-looks)
		}
	})
}

func TestNodeGivesOnForAsLongAsItIsToReseed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hand{file: func() (bool, error) { return false, nil }}
		p, line, stop := keepPolicy(h)
		defer stop()
		told := make(chan bool, 8)
		go func() {
			_ = p.tell(t.Context(), mesh.Meta{Holdings: []mesh.Holding{{}}}, func(m mesh.Meta) error { told <- len(m.Holdings) > 0; return nil })
		}()
		want := func(when, why string, pauses ...bool) {
			t.Helper()
			synctest.Wait()
			heard := slices.Clone(h.pauses)
			if now, _ := p.paused(); now != (pause{why, why != ""}) || !slices.Equal(heard, pauses) {
				t.Errorf("%s: %+v, told %v; want %q, %v", when, now, heard, why, pauses)
			}
			if len(told) != len(pauses) {
				t.Errorf("%s: gossip was told %d times, want %d", when, len(told), len(pauses))
			}
		}
		seeding := fleet.Seeding{PauseFile: "/run/job"}
		for _, ever := range []fleet.Reseed{"", fleet.ReseedAlways, fleet.ReseedRollout, "something of a later release"} {
			p.learn(seeding, ever)
			time.Sleep(10 * time.Minute)
			want("with "+string(ever), "")
		}
		p.learn(seeding, "1h")
		time.Sleep(20*time.Minute - time.Second)
		want("before an hour is over", "")
		time.Sleep(2 * time.Second)
		want("after an hour", "reseed is 1h, and the node has been up for longer", true)
		<-line.changed
		looks := h.looks
		time.Sleep(time.Hour)
		if h.looks != looks {
			t.Errorf("the pause file of a node that gives nothing on was looked at %d times", h.looks-looks)
		}
		p.learn(seeding, "3h")
		want("when it is to go on", "", true, false)
		p.learn(seeding, fleet.ReseedNever)
		want("when it never was to", "reseed is never", true, false, true)
		close(told)
		var heard []bool
		for holds := range told {
			heard = append(heard, holds)
		}
		if !slices.Equal(heard, []bool{false, true, false}) {
			t.Errorf("gossip was told that it holds the image: %v", heard)
		}
		if failure := line.report("b", fleet.SwarmReport{}).Failure; failure != "" {
			t.Errorf("it reports failure %q", failure)
		}
	})
}

func TestPauseThatCannotBeToldIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var right atomic.Bool
		h := &hand{run: func() (bool, error) {
			if right.Load() {
				return false, nil
			}
			return false, errors.New("exit status 127")
		}}
		p, line, stop := keepPolicy(h)
		defer stop()
		p.learn(fleet.Seeding{PauseCommand: "pgerp solver"}, "")
		synctest.Wait()
		failure := line.report("b", fleet.SwarmReport{}).Failure
		if !strings.Contains(failure, `pause command "pgerp solver": exit status 127`) || len(h.pauses) > 0 {
			t.Errorf("reported %q, told %v", failure, h.pauses)
		}
		<-line.changed
		time.Sleep(10 * pauseCommandEvery)
		synctest.Wait()
		select {
		case <-line.changed:
			t.Error("reported again and again")
		default:
		}
		right.Store(true)
		time.Sleep(pauseCommandEvery)
		synctest.Wait()
		if failure := line.report("b", fleet.SwarmReport{}).Failure; failure != "" {
			t.Errorf("after it was put right: %q", failure)
		}
	})
}

func TestPauseFileExists(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "job")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	var c pauseChecks
	for file, want := range map[string]bool{there: true, dir + "/link": true, dir: true, dir + "/no": false, dir + "/no/such": false, there + "/below": false} {
		if got, err := c.exists(t.Context(), file); got != want || err != nil {
			t.Errorf("%s: %v, %v; want %v", file, got, err, want)
		}
	}
}

func TestPauseCommandRuns(t *testing.T) {
	var c pauseChecks
	for command, want := range map[string]struct {
		yes  bool
		fail string
	}{
		"true":                                {true, ""},
		"false":                               {false, ""},
		"exit 3":                              {false, ""},
		"echo much; echo more >&2; exit 0":    {true, ""},
		"test $(pwd) = / && [ -n \"$PATH\" ]": {true, ""},
		"no-such-program-anywhere":            {false, "exit status 127"},
		"kill -9 $$":                          {false, "signal: killed"},
		"if":                                  {false, ""}, // dash and bash say 2
	} {
		yes, err := c.succeeds(t.Context(), command)
		if yes != want.yes || (err == nil) != (want.fail == "") || err != nil && !strings.Contains(err.Error(), want.fail) {
			t.Errorf("%q: %v, %v; want %v, %q", command, yes, err, want.yes, want.fail)
		}
	}
}

// What a command started ends with it.
func TestPauseCommandIsEndedWithWhatItStarted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rest := make(chan error, 1)
	go func() {
		defer cancel()
		f, err := os.Open(pipe) // waits for the command
		if err != nil {
			rest <- err
			return
		}
		defer f.Close()
		_, err = f.Read(make([]byte, 16))
		cancel()
		_, tail := io.Copy(io.Discard, f) // ends when everybody has who was to write
		rest <- errors.Join(err, tail)
	}()
	var c pauseChecks
	if yes, err := c.succeeds(ctx, "exec >"+pipe+"; sleep 1000 & echo begun; wait"); yes || err == nil {
		t.Errorf("got %v, %v from a command that never ends", yes, err)
	}
	if err := receive(t, rest); err != nil {
		t.Error(err)
	}
}

func TestRosterStaysUntilAnotherComes(t *testing.T) {
	var r roster
	in, out := controllersAt(1)[0].Addr(), testManifest().Controllers[0].Address
	if !r.allows(in) || r.id() != "" {
		t.Error("before any roster came somebody is a stranger")
	}
	r.learn(fleet.NewRoster(nil))
	if r.allows(in) {
		t.Error("a roster that names nobody lets somebody in")
	}
	first := fleet.NewRoster([]netip.Addr{in})
	r.learn(first)
	r.learn(fleet.Roster{})
	if !r.allows(in) || r.allows(out) || r.id() != first.ID {
		t.Errorf("roster %q", r.id())
	}
}
