package bootagent

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// How the image's init is asked whether the system is up.
const (
	askTimeout   = 15 * time.Second
	otherInit    = 2 * time.Minute // after which an image with systemctl but no systemd counts as up
	maxFailed    = 8               // units named in a report
	systemdAlive = "/run/systemd/system"
)

// askEvery is how often, at first and after a while.
var askEvery = backoff{Base: time.Second, Cap: 10 * time.Second}

// systemctls are where an image has it.
var systemctls = [...]string{"/usr/bin/systemctl", "/bin/systemctl"}

// waitReady waits until the image's init says that the system is up, however well, and returns what it says. An init
// that cannot be asked is believed.
func (a *agent) waitReady(ctx context.Context) (string, error) {
	systemctl := ""
	for _, name := range systemctls {
		if _, err := os.Stat(name); err == nil {
			systemctl = name
			break
		}
	}
	if systemctl == "" {
		return "no systemd in the image", nil
	}
	began := time.Now()
	for n := 0; ; n++ {
		state, _ := ask(ctx, systemctl, "is-system-running") // fails as long as systemd does not listen
		if settled(state) {
			return describeState(ctx, systemctl, state), nil
		}
		if _, gone := os.Stat(systemdAlive); gone != nil && time.Since(began) > otherInit {
			return "the image's init is not systemd", nil
		}
		if err := sleep(ctx, askEvery.delay(n)); err != nil {
			return "", err
		}
	}
}

// settled says whether a state of systemctl(1), is-system-running, ends a boot.
func settled(state string) bool {
	return state == "running" || state == "degraded" || state == "maintenance"
}

// describeState adds to a degraded state what failed.
func describeState(ctx context.Context, systemctl, state string) string {
	if state != "degraded" {
		return state
	}
	list, _ := ask(ctx, systemctl, "list-units", "--failed", "--plain", "--no-legend", "--no-pager")
	if units := firstFields(list); len(units) > maxFailed {
		return state + ": " + strings.Join(units[:maxFailed], " ") + " and more"
	} else if len(units) > 0 {
		return state + ": " + strings.Join(units, " ")
	}
	return state
}

func firstFields(text string) []string {
	var first []string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 {
			first = append(first, f[0])
		}
	}
	return first
}

// ask runs a program of the image and returns what it prints. Its status is not looked at: systemctl fails in order to
// say "degraded".
func ask(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_COLORS=0"}
	c.WaitDelay = time.Second
	var out bytes.Buffer
	c.Stdout = &limitedWriter{&out, 64 << 10}
	err := c.Run()
	var status *exec.ExitError
	if errors.As(err, &status) && out.Len() > 0 {
		err = nil
	}
	return strings.TrimSpace(out.String()), err
}

// A limitedWriter drops what is beyond its limit.
type limitedWriter struct {
	to   *bytes.Buffer
	left int
}

func (l *limitedWriter) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	l.to.Write(b[:n])
	return len(b), nil
}
