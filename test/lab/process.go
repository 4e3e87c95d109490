package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A PID names one process for as long as the host runs: process numbers are used again, but not with the same start.
type PID struct {
	Number int    `json:"pid"`
	Start  uint64 `json:"start"` // clock ticks from the host's boot, field 22 of proc_pid_stat(5)
}

// FindPID returns the name of the process that has a number now.
func FindPID(number int) (PID, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", number))
	if err != nil {
		return PID{}, fmt.Errorf("process %d: %w", number, os.ErrProcessDone)
	}
	// The second field is the program's name in parentheses; it may hold blanks and parentheses itself.
	_, rest, _ := strings.Cut(string(b[max(0, bytes.LastIndexByte(b, ')')):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return PID{}, fmt.Errorf("process %d: cannot read its stat %q", number, b)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return PID{}, fmt.Errorf("process %d: %w", number, os.ErrProcessDone)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return PID{}, fmt.Errorf("process %d: start time: %w", number, err)
	}
	return PID{Number: number, Start: start}, nil
}

// Alive reports whether that very process runs.
func (p PID) Alive() bool {
	now, err := FindPID(p.Number)
	return err == nil && now == p
}

// End asks the process to leave, forces it after grace, and returns once it is gone. A process that is gone already,
// or whose number another one has now, is left alone.
func (p PID) End(grace time.Duration) error {
	proc, err := os.FindProcess(p.Number) // holds on to the process, so that the check below stays true
	if err != nil || !p.Alive() {
		return nil
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := proc.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("process %d: %w", p.Number, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		err := poll(ctx, 20*time.Millisecond, func() (bool, error) { return !p.Alive(), nil })
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end, not even by SIGKILL: it may wait for a disk", p.Number)
}

// A Process is a program that the lab runs in the background.
type Process struct {
	name string
	Log  string // the file that its output goes to
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// StartProcess starts cmd with its output appended to the file log.
func StartProcess(name, log string, cmd *exec.Cmd) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &Process{name: name, Log: log, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// PID names the process.
func (p *Process) PID() (PID, error) { return FindPID(p.cmd.Process.Pid) }

// Kill ends the process at once, as kill -9 does, and returns once it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop suspends the process, as a machine does that hangs: its sockets stay open and nobody answers. Continue ends that.
func (p *Process) Stop() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue lets a stopped process go on.
func (p *Process) Continue() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Terminate asks the process to leave and returns how it ended. After grace it is killed.
func (p *Process) Terminate(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(grace):
		p.Kill()
		return fmt.Errorf("%s: did not end within %v of SIGTERM; killed", p.name, grace)
	}
}

// Ended returns an error that says how the process ended, with the end of its log; nil while it runs.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		how := "exit status 0"
		if p.err != nil {
			how = p.err.Error()
		}
		return fmt.Errorf("%s ended: %s; the end of %s:\n%s", p.name, how, p.Log, tail(p.Log, 15))
	default:
		return nil
	}
}

// output runs cmd and returns what it wrote to stdout. The error holds what it wrote to stderr.
func output(cmd *exec.Cmd) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}

// poll calls ready every interval until it returns true or an error, or ctx ends. The lab looks at other processes
// and other machines, which tell nobody when they are ready.
func poll(ctx context.Context, interval time.Duration, ready func() (bool, error)) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// tail returns the last n lines of a file, readable, or a note that there are none.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	lines := printable(b)
	if err != nil || len(lines) == 0 {
		return "  (nothing)"
	}
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}
