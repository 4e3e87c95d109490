package bootagent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Bounds on the checks of a pause.
const (
	fileTimeout    = 10 * time.Second // a file system of the network may be gone
	commandTimeout = 10 * time.Second
	commandDrain   = time.Second // for what a command left behind to let go of its pipes
)

// pauseShell runs pause commands. It is the image's.
const pauseShell = "/bin/sh"

// A pauseChecks looks at whether a node is to pause. Its methods are for one goroutine at a time.
type pauseChecks struct {
	looking chan lookup // of a look that has not come back; nil for none
}

type lookup struct {
	exists bool
	err    error
}

// exists reports whether a file is there. A look that does not come back holds one goroutine, and no further one.
func (c *pauseChecks) exists(ctx context.Context, file string) (bool, error) {
	if c.looking == nil {
		looking := make(chan lookup, 1)
		c.looking = looking
		go func() {
			_, err := os.Lstat(file)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
				looking <- lookup{}
				return
			}
			looking <- lookup{err == nil, err}
		}()
	}
	t := time.NewTimer(fileTimeout)
	defer t.Stop()
	select {
	case l := <-c.looking:
		c.looking = nil
		return l.exists, l.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-t.C:
		return false, fmt.Errorf("its file system does not answer for %s", fileTimeout)
	}
}

// succeeds runs a command of the shell, and reports whether it exits with 0. The error says that it could not be run to
// its end, or that the shell found nothing to run (126, 127, as POSIX has it).
func (c *pauseChecks) succeeds(ctx context.Context, command string) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTimeout, fmt.Errorf("still running after %s", commandTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, pauseShell, "-c", command)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // and what it started
	cmd.WaitDelay = commandDrain
	err := cmd.Run()
	var status *exec.ExitError
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case !errors.As(err, &status):
		return false, err
	case status.ExitCode() == 126 || status.ExitCode() == 127:
		return false, fmt.Errorf("exit status %d: %s finds nothing to run", status.ExitCode(), pauseShell)
	case status.ExitCode() < 0:
		return false, errors.New(status.String())
	}
	return false, nil
}
