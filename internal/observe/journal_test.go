package observe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

var testMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 1}

// newJournal returns a journal in which node n1 has testMAC, and the clock it reads.
func newJournal() (*Journal, *time.Time) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	nodeOf := func(m fleet.MAC) (string, bool) { return "n1", m == testMAC }
	return New(nodeOf, func() time.Time { return now }), &now
}

func phasesOf(b fleet.Boot) string {
	var names []string
	for _, e := range b.Phases {
		names = append(names, string(e.Phase))
	}
	return strings.Join(names, " ")
}

func TestOneBootFromFirmwareToReady(t *testing.T) {
	j, now := newJournal()
	step := func(p fleet.Phase, id string) { *now = now.Add(time.Second); j.Phase(testMAC, id, p, "") }
	step(fleet.PhaseDHCP, "")
	step(fleet.PhaseLoader, "")
	step(fleet.PhaseDHCP, "") // iPXE asks again
	step(fleet.PhaseScript, "b1")
	step(fleet.PhaseKernel, "")
	step(fleet.PhaseInitramfs, "")
	*now = now.Add(10 * time.Second)
	j.Report("n1", testMAC, fleet.Report{BootID: "b1", Phases: []fleet.PhaseReport{
		{Phase: fleet.PhaseAgent, Age: 3 * time.Second}, {Phase: fleet.PhaseReady, Age: 0, Detail: "running"},
	}})

	boots := j.Boots("n1")
	if len(boots) != 1 {
		t.Fatalf("got %d boots, want 1: %+v", len(boots), boots)
	}
	if got, want := phasesOf(boots[0]), "dhcp loader script kernel initramfs agent ready"; got != want {
		t.Errorf("phases: got %q, want %q", got, want)
	}
	if got, want := boots[0].Phases[5].At, now.Add(-3*time.Second); !got.Equal(want) {
		t.Errorf("agent phase at %s, want %s", got, want)
	}
	if boots[0].ID != "b1" {
		t.Errorf("boot id %q, want b1", boots[0].ID)
	}
}

func TestDHCPAfterTheScriptStartsAnotherBoot(t *testing.T) {
	j, _ := newJournal()
	for i := range maxBootsPerNode + 3 {
		j.Phase(testMAC, "", fleet.PhaseDHCP, "")
		j.Phase(testMAC, fmt.Sprintf("b%d", i), fleet.PhaseScript, "")
	}
	boots := j.Boots("n1")
	if len(boots) != maxBootsPerNode {
		t.Fatalf("got %d boots, want the newest %d", len(boots), maxBootsPerNode)
	}
	if got, want := boots[0].ID, fmt.Sprintf("b%d", maxBootsPerNode+2); got != want {
		t.Errorf("newest boot: got %s, want %s", got, want)
	}
}

func TestARepeatedScriptKeepsWhatCameBefore(t *testing.T) {
	j, _ := newJournal()
	j.Phase(testMAC, "", fleet.PhaseDHCP, "")
	j.Phase(testMAC, "b1", fleet.PhaseScript, "")
	j.Phase(testMAC, "", fleet.PhaseKernel, "")
	j.Phase(testMAC, "b2", fleet.PhaseScript, "")
	if got, want := phasesOf(j.Boots("n1")[0]), "dhcp script"; got != want {
		t.Errorf("phases of the second try: got %q, want %q", got, want)
	}
}

func TestAReportToARestartedControllerBringsTheBootBack(t *testing.T) {
	j, _ := newJournal()
	j.Report("n1", testMAC, fleet.Report{BootID: "b1", Failure: strings.Repeat("x", 5000),
		Phases: []fleet.PhaseReport{{Phase: fleet.PhaseImage, Age: time.Minute}, {Phase: "nonsense"}, {Phase: fleet.PhaseDHCP}}})
	b := j.Latest()["n1"]
	if got := phasesOf(b); got != "image" {
		t.Errorf("phases: got %q, want only what agents may report", got)
	}
	if len(b.Failure) != fleet.MaxReportText {
		t.Errorf("failure of %d bytes kept, want %d", len(b.Failure), fleet.MaxReportText)
	}
}

func TestUnknownMachinesAreBoundedAndLeaveWhenClaimed(t *testing.T) {
	j, now := newJournal()
	for i := range maxUnknown + 10 {
		*now = now.Add(time.Second)
		j.Unknown(fleet.UnknownMachine{MAC: fleet.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}})
	}
	j.Unknown(fleet.UnknownMachine{MAC: testMAC}) // a node has claimed it meanwhile
	machines := j.UnknownMachines()
	if len(machines) < maxUnknown-1 || len(machines) > maxUnknown {
		t.Fatalf("got %d machines, want at most %d and all but the claimed one", len(machines), maxUnknown)
	}
	if slices.ContainsFunc(machines, func(m fleet.UnknownMachine) bool { return m.MAC == testMAC }) {
		t.Error("a claimed machine is listed as unknown")
	}
	if machines[0].Last.Before(machines[1].Last) {
		t.Error("the machine heard of last is not the first of the list")
	}
}

func TestARefusalIsTheFailureOfItsBootUntilThereIsAScript(t *testing.T) {
	phase := func(p fleet.Phase, id string) func(*Journal) {
		return func(j *Journal) { j.Phase(testMAC, id, p, "") }
	}
	refused := func(j *Journal) { j.Refused(testMAC, "it has no image") }
	agent := func(j *Journal) {
		j.Report("n1", testMAC, fleet.Report{BootID: "b1", Phases: []fleet.PhaseReport{{Phase: fleet.PhaseReady}}})
	}
	const why = "it has no image"
	for name, c := range map[string]struct {
		story   []func(*Journal)
		phases  string // of the newest boot
		failure string
		boots   int
	}{
		"after DHCP":                     {[]func(*Journal){phase(fleet.PhaseDHCP, ""), refused, refused}, "dhcp", why, 1},
		"by an iPXE from elsewhere":      {[]func(*Journal){refused, refused}, "loader", why, 1},
		"the machine starts over":        {[]func(*Journal){phase(fleet.PhaseDHCP, ""), refused, phase(fleet.PhaseDHCP, "")}, "dhcp", why, 1},
		"then it is given a script":      {[]func(*Journal){phase(fleet.PhaseDHCP, ""), refused, phase(fleet.PhaseScript, "b1")}, "dhcp script", "", 1},
		"on its way, after a script":     {[]func(*Journal){phase(fleet.PhaseDHCP, ""), phase(fleet.PhaseScript, "b1"), refused}, "dhcp script", why, 1},
		"another machine than that runs": {[]func(*Journal){phase(fleet.PhaseDHCP, ""), phase(fleet.PhaseScript, "b1"), agent, refused, refused}, "loader", why, 2},
		"the one that runs goes on":      {[]func(*Journal){agent, refused, agent}, "ready", "", 2},
		"a machine of nobody":            {[]func(*Journal){func(j *Journal) { j.Refused(fleet.MAC{9}, why) }}, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			j, now := newJournal()
			for _, event := range c.story {
				*now = now.Add(5 * time.Second)
				event(j)
			}
			b := j.Latest()["n1"]
			if got := phasesOf(b); got != c.phases || b.Failure != c.failure || len(j.Boots("n1")) != c.boots || c.boots > 0 && !b.Seen.Equal(*now) {
				t.Errorf("got %q, failure %q, %d boots, seen %s; want %q, %q, %d, %s", got, b.Failure, len(j.Boots("n1")), b.Seen, c.phases, c.failure, c.boots, now)
			}
		})
	}
}
