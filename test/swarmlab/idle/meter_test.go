package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
)

func TestNumbers(t *testing.T) {
	const text = "Name:\tagent: 1\nRssAnon:\t    7900 kB\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"
	got, err := numbers(text, "nonvoluntary_ctxt_switches", "RssAnon", "voluntary_ctxt_switches")
	if err != nil || got[0] != 3 || got[1] != 7900 || got[2] != 12 {
		t.Errorf("numbers of %q: got %v, %v, want 3, 7900 and 12", text, got, err)
	}
	if _, err := numbers(text, "RssShmem"); err == nil || !strings.Contains(err.Error(), "RssShmem") {
		t.Errorf("number that is not there: got %v, want an error that names it", err)
	}
}

func TestPolicyIn(t *testing.T) {
	const stat = "25683 (a) b (agent) S 1 25683 25683 0 -1 4194560 9000 0 0 0 10 20 0 0 39 19 9 0 3400000 1300000000 4000 " +
		"18446744073709551615 1 1 0 0 0 0 0 0 2143420159 0 0 0 17 1 0 5 0 0 0 0 0 0 0 0 0 0 0"
	if got, err := policyIn(stat); err != nil || got != unix.SCHED_IDLE {
		t.Errorf("policy in %q: got %d, %v, want %d", stat, got, err, unix.SCHED_IDLE)
	}
	for _, bad := range []string{"", "1 (agent) S 1 2 3"} {
		if got, err := policyIn(bad); err == nil {
			t.Errorf("policy in %q: got %d, want an error", bad, got)
		}
	}
}

func TestParseSockets(t *testing.T) {
	ports := fleet.Ports{Swarm: 0x1db2, Gossip: 0x1db3}
	const head = "  sl  local_address rem_address   st tx_queue\n"
	const udp = head + "  12: 15004D0A:1DB3 00000000:0000 07 00000000:00000000\n"
	const tcp = head +
		"   0: 15004D0A:1DB2 00000000:0000 0A listens\n" +
		"   1: 15004D0A:8D9F 17004D0A:1DB2 01 called\n" +
		"   2: 15004D0A:1DB2 18004D0A:D2F1 01 was called\n" +
		"   3: 15004D0A:D2F1 01004D0A:1DB0 01 reports\n" +
		"   4: 15004D0A:1DB2 19004D0A:D2F1 06 closed\n"
	if got, want := parseSockets(udp, tcp, ports), (sockets{gossips: true, links: 2}); got != want {
		t.Errorf("sockets: got %+v, want %+v", got, want)
	}
	if got, want := parseSockets(head, head, ports), (sockets{}); got != want {
		t.Errorf("no sockets: got %+v, want %+v", got, want)
	}
}

// A meter sees its own process work, by the clock that the kernel keeps for it.
func TestMeterOfThisProcess(t *testing.T) {
	pid := os.Getpid()
	before, err := processorTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	for now := before; now < before+5*time.Millisecond; { // by this very work
		if now, err = processorTime(pid); err != nil {
			t.Fatal(err)
		}
	}
	threads, err := threadsOf(pid)
	if _, first := threads[pid]; err != nil || !first {
		t.Errorf("threads of this process: got %v, %v, want the first among them", threads, err)
	}
	used, err := memoryOf(pid)
	if err != nil || used.anon <= 0 || used.file <= 0 || used.pss <= 0 {
		t.Errorf("memory of this process: got %+v, %v, want some of each", used, err)
	}
	if _, err := stoodAside(pid, threads); err != nil {
		t.Errorf("whether this process has stood aside: %v", err)
	}
}

func TestReportGroupsByGossip(t *testing.T) {
	r := report{Program: 24, Agents: []agent{
		{Known: 32, Gossips: true, CPU: 0.05, Wakes: 3, Own: 8, Aside: true},
		{Known: 32, Gossips: true, CPU: 0.02, Wakes: 1, Own: 9, Aside: true},
		{Known: 2000, CPU: 0.01, Wakes: 1, Own: 17, Aside: true},
		{Known: 2000, Gossips: true, CPU: 0.01, Wakes: 1, Own: 8},
		{Known: 32, Gossips: true, CPU: 0.03, Wakes: 2, Own: 10, Aside: true},
	}}
	r.sum()
	if len(r.Groups) != 3 {
		t.Fatalf("groups: got %+v, want 3", r.Groups)
	}
	first, heavy, pushy := r.Groups[0], r.Groups[1], r.Groups[2]
	if want := (spread{0.02, 0.03, 0.05}); first.CPU != want || first.Beyond.Max != 34 || first.Agents != 3 || !first.Met {
		t.Errorf("three agents: got %+v, want a processor share of %v, at most 34 MiB, and aims met", first, want)
	}
	if heavy.Met || heavy.Gossips {
		t.Errorf("an agent of 41 MiB: got %+v, want aims missed", heavy)
	}
	if pushy.Met || pushy.Aside != 0 {
		t.Errorf("an agent that did not stand aside: got %+v, want aims missed", pushy)
	}
	if text := r.table(); !strings.Contains(text, "0.020 / 0.030 / 0.050") {
		t.Errorf("table: got\n%s\nwant the processor shares in it", text)
	}
}
