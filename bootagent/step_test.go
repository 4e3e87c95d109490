package bootagent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

func TestBackoff(t *testing.T) {
	b := backoff{Base: time.Second, Cap: 30 * time.Second}
	for failure, most := range map[int]time.Duration{
		0: time.Second, 1: 2 * time.Second, 4: 16 * time.Second, 5: 30 * time.Second, 29: 30 * time.Second, 1000: 30 * time.Second,
	} {
		for range 100 {
			if d := b.delay(failure); d < most/2 || d > most {
				t.Fatalf("delay(%d) = %s, want %s to %s", failure, d, most/2, most)
			}
		}
	}
}

func TestStepIsRepeatedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := newTimeline()
		begin := time.Now()
		var failures []string
		calls := 0
		s := step{name: "enroll", phase: fleet.PhaseManifest, deadline: time.Minute, do: func(context.Context) (string, error) {
			failures = append(failures, line.report("", fleet.SwarmReport{}).Failure)
			if calls++; calls <= 100 {
				return "", errors.New("no answer")
			}
			return "n1", nil
		}}
		if err := (runner{log: quietLog(), timeline: line}).run(context.Background(), []step{s}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 20*time.Minute || took > 50*time.Minute {
			t.Errorf("100 failures took %s, want about 30 s each at most and no flood", took)
		}
		if failures[0] != "" || failures[1] != "enroll: no answer" {
			t.Errorf("reported failures %q", failures[:2])
		}
		r := line.report("b", fleet.SwarmReport{})
		if r.Failure != "" || len(r.Phases) != 1 || r.Phases[0].Phase != fleet.PhaseManifest || r.Phases[0].Detail != "n1" {
			t.Errorf("in the end the report is %+v", r)
		}
	})
}

func TestStepHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := step{name: "wait", deadline: 10 * time.Second, do: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", context.Cause(ctx)
		}}
		begin := time.Now()
		_, err := attempt(context.Background(), s)
		if time.Since(begin) != 10*time.Second || err == nil || !strings.Contains(err.Error(), "not done within 10s") {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
	})
}

func TestRunnerEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		defer cancel()
		s := step{name: "x", do: func(context.Context) (string, error) { return "", errors.New("no") }}
		err := (runner{log: quietLog(), timeline: newTimeline()}).run(ctx, []step{s})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestHopelessStepRebootsAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rebooted := errors.New("rebooted")
		begin := time.Now()
		s := step{name: "enroll", do: func(context.Context) (string, error) { return "", hopeless{errors.New("token expired")} }}
		err := (runner{log: quietLog(), timeline: newTimeline(), reboot: func() error { return rebooted }}).run(context.Background(), []step{s})
		if took := time.Since(begin); !errors.Is(err, rebooted) || took < 45*time.Second || took > 75*time.Second {
			t.Errorf("%v after %s, want a reboot after about a minute", err, took)
		}
	})
}

func TestRescueShellInsteadOfReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shells, calls := 0, 0
		s := step{name: "enroll", do: func(context.Context) (string, error) {
			if calls++; calls == 7 {
				return "", nil
			}
			return "", hopeless{errors.New("token expired")}
		}}
		r := runner{log: quietLog(), timeline: newTimeline(), rescue: func(context.Context) { shells++ },
			reboot: func() error { t.Error("rebooted"); return nil }}
		if err := r.run(context.Background(), []step{s}); err != nil || shells != 2 {
			t.Errorf("%v, %d shells, want one after every third of 6 failures", err, shells)
		}
	})
}
