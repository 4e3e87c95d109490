package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func TestSwarmOnOneScreen(t *testing.T) {
	nobody, one, idle := doneSwarm(), doneSwarm(), doneSwarm()
	nobody.Nodes, nobody.Ratio = api.SwarmNodes{}, 0
	one.Nodes = api.SwarmNodes{Total: 1, Complete: 1}
	silent := one
	silent.Nodes.Paused, idle.Nodes.Paused = 1, 1
	jobs := doneSwarm()
	jobs.Nodes.Paused = 3
	over, both := one, doneSwarm()
	over.Nodes.Ended, both.Nodes.Paused, both.Nodes.Ended = 1, 1, 300
	for what, c := range map[string]struct {
		v    api.SwarmView
		want string
	}{
		"nobody boots it": {nobody, "no node boots debian:3; controllers sent 0.00 images\n"},
		"one node":        {one, "the one node that boots debian:3 holds it; controllers sent 1.03 images\n"},
		"one, paused":     {silent, "the one node that boots debian:3 holds it, and sends nothing now; controllers sent 1.03 images\n"},
		"all is well":     {doneSwarm(), "all 312 nodes hold debian:3; controllers sent 1.03 images\n"},
		"one is paused":   {idle, "all 312 nodes hold debian:3, 1 of them sends nothing now; controllers sent 1.03 images\n"},
		"some are paused": {jobs, "all 312 nodes hold debian:3, 3 of them send nothing now; controllers sent 1.03 images\n"},
		"one, its end":    {over, "the one node that boots debian:3 holds it, and sends nothing any more; controllers sent 1.03 images\n"},
		"most have ended": {both, "all 312 nodes hold debian:3, 1 of them sends nothing now, 300 of them send nothing any more; controllers sent 1.03 images\n"},
		"under way": {busySwarm(), `
image        debian:3, 1.2 GB in 1200 pieces
nodes        50 of 210 hold it, 140 fetching, 20 silent; 2 of those that hold it send nothing now
rate         1.4 GB/s to nodes, 1m30s left
controllers  sent 1.2 GB to nodes, 1.03 images

RACK          NODES  COMPLETE  HAVE
r06           10     0         #-------------------   5%
r07           10     0         ##------------------  10%
r08           10     0         ###-----------------  15%
r09           10     0         ####----------------  20%
r10           10     0         #####---------------  25%
r11           10     0         ######--------------  30%
r12           10     0         #######-------------  35%
r13           10     0         ########------------  40%
r14           10     0         #########-----------  45%
r15           10     0         ##########----------  50%
4 more racks  40     0         ############--------  62%
r[20-21]      20     0         --------------------   0%
r[01-05]      50     50        #################### 100%

CONTROLLER  STATE      PEERS  SENT    IMAGES  COPIED  RATE     UNSENT
head1       offers it  64     600 MB  0.50    1.2 GB  24 MB/s  12 pieces
head2       lacks it   0      0 B     0.00    0 B     0 B/s    1200 pieces
head3       down       0      636 MB  0.53    0 B     0 B/s    0 pieces
`},
		"something is wrong": {sickSwarm(), `
image        debian:3, 1.2 GB in 1200 pieces
nodes        311 of 312 hold it, 1 fetching, 0 silent
rate         0 B/s to nodes
controllers  sent 1.2 GB to nodes, 1.03 images

RACK  NODES  COMPLETE  HAVE
r1    310    309       ###################-  99%
-     2      2         #################### 100%

CONTROLLER  STATE      PEERS  SENT    IMAGES  COPIED  RATE   UNSENT
head1       offers it  0      1.2 GB  1.03    0 B     0 B/s  0 pieces

STRAGGLER  RACK  HAVE                       RATE      WHY
n9         r1    ###################-  99%  120 kB/s  its link is slow

SUSPECT  ADDRESS   WHAT FOR                     TIMES  BY       LAST       ASKED
n7       10.1.0.7  sends corrupt pieces         12     4 peers  1m00s ago  no more
-        10.9.9.9  is no member of the cluster  1      1 peer   1m00s ago  still
`},
	} {
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), swarmText(c.v, testNow)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestASwarmOfManyFitsAScreen(t *testing.T) {
	v := busySwarm()
	for i := range 500 {
		v.Racks = append(v.Racks, api.SwarmRack{Name: fmt.Sprintf("q%03d", i), Nodes: 40, Have: 0.5})
		v.Stragglers = append(v.Stragglers, api.Straggler{Node: fmt.Sprintf("n%d", i)})
		v.Suspects = append(v.Suspects, api.Suspect{Fault: fleet.FaultStalled})
	}
	if lines := strings.Count(swarmText(v, testNow), "\n"); lines > 60 {
		t.Errorf("500 racks, stragglers and suspects take %d lines, want at most 60", lines)
	}
}

func TestAWatchedSwarm(t *testing.T) {
	lost := fmt.Errorf("%w from head1: gone", api.ErrNoAnswer)
	looks := []struct {
		v   api.SwarmView
		err error
	}{{v: busySwarm()}, {v: busySwarm()}, {err: lost}, {err: lost}, {v: doneSwarm()}, {v: doneSwarm()}, {v: doneSwarm()}, {v: doneSwarm()}}
	const interrupted = "samara: no answer from head1: gone; trying again\n"
	for what, c := range map[string]struct {
		w    swarmWatch
		want string
	}{
		"in a pipe": {swarmWatch{}, "50 of 210 nodes hold debian:3, 2 of them send nothing now, 140 fetch it at 1.4 GB/s, 20 silent; controllers sent 1.03 images\n" +
			"all 312 nodes hold debian:3; controllers sent 1.03 images\n"},
		"on a terminal of four lines": {swarmWatch{height: func() int { return 4 }},
			"\r\x1b[JA\nB\n...\n" + "\x1b[3A\r\x1b[JA\nB\n...\n" +
				"\r\x1b[JC\n" + strings.Repeat("\x1b[1A\r\x1b[JC\n", 3)},
	} {
		var out, said strings.Builder
		w := c.w
		w.out, w.said, w.now = &out, &said, func() time.Time { return testNow }
		for _, l := range looks {
			if err := w.look(l.v, l.err); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		got := strings.NewReplacer("image        debian:3, 1.2 GB in 1200 pieces", "A",
			"nodes        50 of 210 hold it, 140 fetching, 20 silent; 2 of those that hold it send nothing now", "B",
			"all 312 nodes hold debian:3; controllers sent 1.03 images", "C").Replace(out.String())
		want := strings.ReplaceAll(c.want, "all 312 nodes hold debian:3; controllers sent 1.03 images", "C")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		if said.String() != interrupted {
			t.Errorf("%s: said %q, want %q", what, said.String(), interrupted)
		}
	}
}

func TestAWatchThatNeverBeganFails(t *testing.T) {
	for _, err := range []error{fmt.Errorf("image: %w", fleet.ErrNotFound), fmt.Errorf("%w from head1", api.ErrNoAnswer)} {
		w := swarmWatch{}
		if got := w.look(api.SwarmView{}, err); !errors.Is(got, err) {
			t.Errorf("first look that met %v: %v", err, got)
		}
	}
}
