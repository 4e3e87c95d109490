package lab

import (
	"fmt"
	"os/exec"
	"strings"
)

// Acquaint has hosts know each other's hardware addresses without asking. The kernel keeps what is asked for in one table
// for all namespaces together, of 1,024 entries unless its machine is set up otherwise, where real machines have one each:
// among 64 hosts that all talk to a dozen others, the last would reach nobody. Entries that are made by hand do not count.
func Acquaint(hosts []*Host) error {
	for _, h := range hosts {
		var lines strings.Builder
		for _, other := range hosts {
			if other != h {
				fmt.Fprintf(&lines, "neigh replace %s lladdr %s dev %s nud permanent\n", other.Address, other.MAC, Port)
			}
		}
		batch := exec.Command("ip", "-n", h.Name, "-batch", "-")
		batch.Stdin = strings.NewReader(lines.String())
		if _, err := output(batch); err != nil {
			return fmt.Errorf("host %s: %w", h.ID, err)
		}
	}
	return nil
}
