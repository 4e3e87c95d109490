package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A tool is one of the programs of squashfs-tools.
type tool struct {
	name string
	path string
}

// findTool looks for a program and makes sure that it is new enough to read tars and to print files.
func findTool(ctx context.Context, name string) (tool, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return tool{}, fmt.Errorf("%s is not installed: apt-get install squashfs-tools (dnf install squashfs-tools): %w", name, err)
	}
	t := tool{name, path}
	var out bytes.Buffer
	err = t.run(ctx, &out, "-version")
	_, rest, found := strings.Cut(out.String(), " version ")
	if !found { // the status says nothing: unsquashfs -version ends with 1
		return tool{}, fmt.Errorf("%s -version says no version: install squashfs-tools 4.5 or newer: %w", path, err)
	}
	version, _, _ := strings.Cut(rest, " ")
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major < 4 || major == 4 && minor < 5 {
		return tool{}, fmt.Errorf("%s is of version %q: install squashfs-tools 4.5 or newer", path, version)
	}
	return t, nil
}

// A child is a tool at work.
type child struct {
	tool   tool
	stdin  io.WriteCloser // or nil
	cmd    *exec.Cmd
	said   tail // on its standard error, and on its standard output unless that is wanted
	ended  chan error
	killed context.CancelFunc
}

// start starts the tool with a standard input to write to. wait must be called.
func (t tool) start(ctx context.Context, args []string) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// 1 MiB instead of 64 KiB saves switches between the two processes; what the system does not grant is not needed.
	_, _ = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 1<<20)
	c, err := t.spawn(ctx, r, nil, args)
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	c.stdin = w
	return c, nil
}

// run runs the tool to its end. Its standard output goes to out.
func (t tool) run(ctx context.Context, out io.Writer, args ...string) error {
	c, err := t.spawn(ctx, nil, out, args)
	if err != nil {
		return err
	}
	return c.wait()
}

// spawn starts the tool in a process group of its own, which dies when ctx ends or when this process does.
func (t tool) spawn(ctx context.Context, in *os.File, out io.Writer, args []string) (*child, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &child{tool: t, ended: make(chan error, 1), killed: cancel}
	c.cmd = exec.CommandContext(ctx, t.path, args...)
	// SOURCE_DATE_EPOCH would contradict the options; messages are to be read by waitError.
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.cmd.Cancel = func() error { return syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }
	c.cmd.WaitDelay = 5 * time.Second
	if in != nil {
		c.cmd.Stdin = in
	}
	c.cmd.Stdout, c.cmd.Stderr = out, &c.said
	if out == nil {
		c.cmd.Stdout = &c.said
	}
	started := make(chan error)
	go func() {
		// Pdeathsig is about the thread that starts the child (prctl(2)), so that thread must live as long.
		runtime.LockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.ended <- c.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", t.name, err)
	}
	return c, nil
}

// stop kills the child.
func (c *child) stop() { c.killed() }

// wait waits for the child's end and returns why it failed, in one line.
func (c *child) wait() error {
	if c.stdin != nil {
		_ = c.stdin.Close()
	}
	err := <-c.ended
	c.killed()
	if err == nil {
		return nil
	}
	if strings.Contains(c.said.String(), "No space left on device") {
		return fmt.Errorf("%s: %w: free space on the file system of the blob store, or delete an image (samara image delete)", c.tool.name, unix.ENOSPC)
	}
	lines := strings.FieldsFunc(c.said.String(), func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 0 {
		return fmt.Errorf("%s: %w", c.tool.name, err)
	}
	return fmt.Errorf("%s: %s (%w)", c.tool.name, strings.TrimSpace(lines[len(lines)-1]), err)
}

// A tail keeps the last KiBs of what is written to it.
type tail struct{ b []byte }

const tailBytes = 16 << 10

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }
