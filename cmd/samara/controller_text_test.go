package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/internal/api"
)

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// heads returns n controllers that are well, the first of which leads and answers.
func heads(n int) []api.ControllerView {
	all := make([]api.ControllerView, n)
	for i := range all {
		all[i] = api.ControllerView{
			ID: fmt.Sprintf("head%d", i+1), Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)}), 7600),
			Role: api.RoleVoter, Alive: true, Seen: testNow, Revision: 120, Version: "1.0", Format: 2,
			Blobs: 12, Disk: api.DiskUsage{Free: 70e9, Size: 100e9},
		}
	}
	all[0].Role, all[0].Self = api.RoleLeader, true
	return all
}

// with returns heads(n) after each of edits.
func with(n int, edits ...func([]api.ControllerView)) []api.ControllerView {
	all := heads(n)
	for _, edit := range edits {
		edit(all)
	}
	return all
}

// dead makes the i-th controller one that was last heard of three minutes ago.
func dead(i int) func([]api.ControllerView) {
	return func(all []api.ControllerView) {
		v := &all[i-1]
		v.Alive, v.Seen, v.Lag, v.Role = false, testNow.Add(-3*time.Minute), 7, api.RoleVoter
	}
}

// silent is what a controller says of the i-th that is dead.
func silent(i int) api.Problem {
	return api.Problem{What: fmt.Sprintf("controller head%d does not answer", i), Cure: fmt.Sprintf("start samara on head%d", i)}
}

// noQuorum is what a controller says that finds too few others.
func noQuorum() api.Problem {
	return api.Problem{What: "no controller leads", Cure: "start samara on head2"}
}

func role(i int, r string) func([]api.ControllerView) {
	return func(all []api.ControllerView) { all[i-1].Role = r }
}

func TestControllerList(t *testing.T) {
	for what, c := range map[string]struct {
		all      []api.ControllerView
		ha       string
		problems []api.Problem
		want     string
	}{
		"one": {heads(1), "it is alone", nil, `
ID     ADDRESS   ROLE    LAG  SEEN  VERSION  BLOBS  DISK
head1  10.1.0.1  leader  -    now   1.0      12/12  70 GB free

note: it is alone
`},
		"two": {heads(2), "there are two", nil, `
ID     ADDRESS   ROLE    LAG  SEEN  VERSION  BLOBS  DISK
head1  10.1.0.1  leader  -    now   1.0      12/12  70 GB free
head2  10.1.0.2  voter   0    now   1.0      12/12  70 GB free

note: there are two
`},
		"three": {heads(3), "", nil, `
ID     ADDRESS   ROLE    LAG  SEEN  VERSION  BLOBS  DISK
head1  10.1.0.1  leader  -    now   1.0      12/12  70 GB free
head2  10.1.0.2  voter   0    now   1.0      12/12  70 GB free
head3  10.1.0.3  voter   0    now   1.0      12/12  70 GB free
`},
		"five": {heads(5), "", nil, `
ID     ADDRESS   ROLE    LAG  SEEN  VERSION  BLOBS  DISK
head1  10.1.0.1  leader  -    now   1.0      12/12  70 GB free
head2  10.1.0.2  voter   0    now   1.0      12/12  70 GB free
head3  10.1.0.3  voter   0    now   1.0      12/12  70 GB free
head4  10.1.0.4  voter   0    now   1.0      12/12  70 GB free
head5  10.1.0.5  voter   0    now   1.0      12/12  70 GB free
`},
		"one of three dead": {with(3, dead(3)), "head3 is down", []api.Problem{silent(3)}, `
ID     ADDRESS   ROLE    LAG  SEEN        VERSION  BLOBS  DISK
head1  10.1.0.1  leader  -    now         1.0      12/12  70 GB free
head2  10.1.0.2  voter   0    now         1.0      12/12  70 GB free
head3  10.1.0.3  voter   7    dead 3m00s  1.0      12/12  70 GB free

problem: controller head3 does not answer
   cure: start samara on head3
note: head3 is down
`},
		"no quorum": {with(3, role(1, api.RoleVoter), dead(2), dead(3)), "head2, head3 are down", []api.Problem{silent(2), silent(3), noQuorum()}, `
ID     ADDRESS   ROLE   LAG  SEEN        VERSION  BLOBS  DISK
head1  10.1.0.1  voter  0    now         1.0      12/12  70 GB free
head2  10.1.0.2  voter  7    dead 3m00s  1.0      12/12  70 GB free
head3  10.1.0.3  voter  7    dead 3m00s  1.0      12/12  70 GB free

problem: controller head2 does not answer
   cure: start samara on head2
problem: controller head3 does not answer
   cure: start samara on head3
problem: no controller leads
   cure: start samara on head2
`},
		"one joins": {with(3, func(all []api.ControllerView) {
			all[1].Role, all[1].Lag, all[1].Blobs, all[1].BlobsMissing = api.RoleLearner, 3120, 2, 10
			all[2] = api.ControllerView{ID: "head3", Address: netip.MustParseAddrPort("10.1.0.3:7700"), Role: api.RoleJoining}
		}), "", []api.Problem{{What: "controller head3 has\x1b not been started yet"}}, `
ID     ADDRESS        ROLE     LAG   SEEN  VERSION  BLOBS  DISK
head1  10.1.0.1       leader   -     now   1.0      12/12  70 GB free
head2  10.1.0.2       learner  3120  now   1.0      2/12   70 GB free
head3  10.1.0.3:7700  joining  -     dead  -        -      -

problem: controller head3 has` + "\ufffd" + ` not been started yet
`},
	} {
		var b strings.Builder
		if err := writeControllers(&b, api.Status{Controllers: c.all, HA: c.ha, Problems: c.problems}, testNow); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// statusOf is what head1 says of a cluster with those controllers.
func statusOf(all []api.ControllerView, leader string, quorum bool, ha string, problems ...api.Problem) api.Status {
	return api.Status{
		Cluster: "hall3", ID: "head1", Version: "1.0", Leader: leader, Quorum: quorum, Revision: 120, Uptime: 90 * time.Minute,
		Nodes: map[string]int{"ready": 10}, Images: 3, Members: 13, Blobs: api.BlobUsage{Count: 12, Bytes: 2e9},
		Disk: api.DiskUsage{Free: 70e9, Size: 100e9}, Controllers: all, HA: ha, Problems: problems,
	}
}

func TestStatus(t *testing.T) {
	const boot = `nodes       10: 10 ready
images      3 versions, 12 blobs, 2.0 GB; 70 GB of 100 GB free
`
	const rest = `boot        0 DHCP requests, 0 answers, 0 malformed, 0 of unknown machines; 0 TFTP files, 0 HTTP requests
swarm       0 blobs seeded, 0 peers, 0 B sent to nodes by this controller
mesh        13 members alive
`
	for what, c := range map[string]struct {
		status api.Status
		want   string
	}{
		"one": {statusOf(heads(1), "head1", true, "it is alone"), `
cluster     hall3
controller  head1, it leads, samara 1.0, up 1h30m
revision    120, changes are taken
quorum      1 of 1 controller votes and answers, none may fail
` + boot + rest + `
note: it is alone
`},
		"two": {statusOf(heads(2), "head1", true, "there are two"), `
cluster     hall3
controller  head1, it leads, samara 1.0, up 1h30m
revision    120, changes are taken
quorum      2 of 2 controllers vote and answer, none may fail
` + boot + `replicas    2 of 2 controllers hold every blob
` + rest + `
ID     ADDRESS   ROLE    LAG  SEEN  VERSION  BLOBS  DISK
head1  10.1.0.1  leader  -    now   1.0      12/12  70 GB free
head2  10.1.0.2  voter   0    now   1.0      12/12  70 GB free

note: there are two
`},
		"three": {statusOf(heads(3), "head2", true, ""), `
cluster     hall3
controller  head1, head2 leads, samara 1.0, up 1h30m
revision    120, changes are taken
quorum      3 of 3 controllers vote and answer, 1 may fail
` + boot + `replicas    3 of 3 controllers hold every blob
` + rest + `
ID     ADDRESS   ROLE    LAG  SEEN  VERSION  BLOBS  DISK
head1  10.1.0.1  leader  -    now   1.0      12/12  70 GB free
head2  10.1.0.2  voter   0    now   1.0      12/12  70 GB free
head3  10.1.0.3  voter   0    now   1.0      12/12  70 GB free

all is well
`},
		"five in the middle of an upgrade, two dead and without a vote": {statusOf(with(5, dead(4), dead(5), role(4, api.RoleLearner), role(5, api.RoleLearner), func(all []api.ControllerView) {
			all[2].Version, all[2].BlobsMissing, all[2].Blobs = "1.1", 2, 10
		}), "head1", true, "", silent(4), silent(5)), `
cluster     hall3
controller  head1, it leads, samara 1.0, up 1h30m
revision    120, changes are taken
quorum      3 of 5 controllers vote and answer, 1 may fail
versions    1.0 on head[1-2,4-5], 1.1 on head3; upgrade all of them
` + boot + `replicas    2 of 5 controllers hold every blob; head3 lacks 2
` + rest + `
ID     ADDRESS   ROLE     LAG  SEEN        VERSION  BLOBS  DISK
head1  10.1.0.1  leader   -    now         1.0      12/12  70 GB free
head2  10.1.0.2  voter    0    now         1.0      12/12  70 GB free
head3  10.1.0.3  voter    0    now         1.1      10/12  70 GB free
head4  10.1.0.4  learner  7    dead 3m00s  1.0      12/12  70 GB free
head5  10.1.0.5  learner  7    dead 3m00s  1.0      12/12  70 GB free

problem: controller head4 does not answer
   cure: start samara on head4
problem: controller head5 does not answer
   cure: start samara on head5
`},
		"no quorum": {statusOf(with(3, role(1, api.RoleVoter), dead(2), dead(3)), "", false, "head2, head3 are down", silent(2), silent(3), noQuorum()), `
cluster     hall3
controller  head1, nobody leads, samara 1.0, up 1h30m
revision    120, no quorum: changes are refused, known nodes still boot
quorum      1 of 3 controllers votes and answers, 2 must
` + boot + `replicas    1 of 3 controllers holds every blob
` + rest + `
ID     ADDRESS   ROLE   LAG  SEEN        VERSION  BLOBS  DISK
head1  10.1.0.1  voter  0    now         1.0      12/12  70 GB free
head2  10.1.0.2  voter  7    dead 3m00s  1.0      12/12  70 GB free
head3  10.1.0.3  voter  7    dead 3m00s  1.0      12/12  70 GB free

problem: controller head2 does not answer
   cure: start samara on head2
problem: controller head3 does not answer
   cure: start samara on head3
problem: no controller leads
   cure: start samara on head2
`},
	} {
		var b strings.Builder
		if err := writeStatus(&b, c.status, testNow); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestWhatStays(t *testing.T) {
	for what, c := range map[string]struct {
		all  []api.ControllerView
		id   string
		want string
	}{
		"of five":  {with(5, dead(5)), "head5", "4 controllers stay, 4 alive"},
		"of two":   {heads(2), "head1", "1 controller stays; one controller is not highly available: while it is down nothing boots; join two more"},
		"the last": {heads(1), "head1", "no controller stays"},
		"nothing":  {heads(3), "head9", "controller head9: not found; samara controller list shows them"},
	} {
		got, err := whatStays(c.all, c.id)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
