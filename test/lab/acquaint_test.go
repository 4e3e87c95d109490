package lab

import (
	"os/exec"
	"strings"
	"testing"
)

// TestAcquaintedHostsNeedNotAsk proves that hosts reach each other by what Acquaint told them, and that the kernel has
// nothing of them in the table that all namespaces share.
func TestAcquaintedHostsNeedNotAsk(t *testing.T) {
	hosts := newTestHosts(t, 3)
	if err := Acquaint(hosts); err != nil {
		t.Fatal(err)
	}
	echo(t, hosts[1], swarmPort)
	if err := answers(mustDial(t, hosts[0], hosts[1], swarmPort), patience); err != nil {
		t.Error(err)
	}
	for _, h := range hosts {
		out, err := output(exec.Command("ip", "-n", h.Name, "-4", "neigh", "show"))
		if err != nil {
			t.Fatal(err)
		}
		known := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(known) != len(hosts)-1 {
			t.Errorf("%s knows %q, want %d others", h.ID, known, len(hosts)-1)
		}
		for _, line := range known {
			if !strings.HasSuffix(strings.TrimSpace(line), "PERMANENT") {
				t.Errorf("%s has asked for %q", h.ID, line)
			}
		}
	}
}
