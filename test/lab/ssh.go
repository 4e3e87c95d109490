package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An SSH logs in to machines of a network as root, with a key of its own.
type SSH struct {
	network *Network
	key     string // path of the private key
}

// NewSSH makes a key in dir, unless there is one from before.
func NewSSH(n *Network, dir string) (*SSH, error) {
	s := &SSH{network: n, key: filepath.Join(dir, "id_ed25519")}
	if _, err := os.Stat(s.key); err == nil {
		return s, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := output(exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", s.key)); err != nil {
		return nil, err
	}
	return s, nil
}

// PublicKey is the path of the file that authorizes it.
func (s *SSH) PublicKey() string { return s.key + ".pub" }

// options are for machines that make a new host key with every boot, on a network that nobody else is on.
func (s *SSH) options() []string {
	return []string{"-i", s.key, "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-F", "/dev/null"}
}

// Run runs a shell command on the machine with that address and returns what it wrote to stdout. The error has what
// it wrote to stderr. It does not try again.
func (s *SSH) Run(ctx context.Context, machine netip.Addr, command string) (string, error) {
	out, err := s.network.Output(ctx, "ssh", append(s.options(), "root@"+machine.String(), command)...)
	if err != nil {
		return out, fmt.Errorf("ssh to %s: %w", machine, err)
	}
	return out, nil
}

// Wait waits until the machine lets s log in.
func (s *SSH) Wait(ctx context.Context, machine netip.Addr) error {
	var last error
	err := poll(ctx, time.Second, func() (bool, error) {
		_, last = s.Run(ctx, machine, "true")
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w; the last attempt: %w", err, last)
	}
	return nil
}

// Line returns the command with which a person logs in as s does.
func (s *SSH) Line(machine netip.Addr) string {
	return fmt.Sprintf("ip netns exec %s ssh -i %s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@%s", s.network.Name, s.key, machine)
}

// Lines splits what a command wrote into lines without blanks around them, leaving out empty ones.
func Lines(out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
