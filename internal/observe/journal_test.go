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
