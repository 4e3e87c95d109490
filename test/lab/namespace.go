package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// netnsDir is where ip-netns(8) keeps names of namespaces.
const netnsDir = "/run/netns"

// A Namespace is a network namespace by its name. Programs run in it by Command, sockets open in it by Do and Dial.
type Namespace struct {
	Name    string
	lasting bool // what Command starts outlives this process
}

func newNamespace(name string, lasting bool) (Namespace, error) {
	return Namespace{name, lasting}, ip("netns", "add", name)
}

// Command returns a command that will run inside the namespace. The shell's rules for os/exec hold: it is the caller
// that starts it and waits.
func (n Namespace) Command(program string, args ...string) *exec.Cmd {
	c := exec.Command("ip", append([]string{"netns", "exec", n.Name, program}, args...)...)
	if n.lasting {
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C at the terminal is not for it
	} else {
		// The signal comes when the starting thread ends, not the process; Go ends a thread only if a goroutine dies
		// while it is locked to it, and Do never does.
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	}
	return c
}

// Output runs a program inside the namespace and returns what it wrote to stdout. When ctx ends the program is killed.
func (n Namespace) Output(ctx context.Context, program string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, program}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.WaitDelay = 2 * time.Second
	out, err := output(c)
	return string(out), err
}

// Do calls f on a thread inside the namespace: sockets that f opens belong to it wherever they are used later. f must
// not start goroutines or processes.
func (n Namespace) Do(f func() error) error {
	inside, err := os.Open(filepath.Join(netnsDir, n.Name))
	if err != nil {
		return err
	}
	defer inside.Close()
	runtime.LockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer outside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network %s: %w", n.Name, err)
	}
	err = f()
	if back := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that nothing else runs on it by mistake.
		return fmt.Errorf("leave network %s: %w", n.Name, errors.Join(back, err))
	}
	runtime.UnlockOSThread()
	return err
}

// Dial connects from inside the namespace to an address, host:port with the host's IP.
func (n Namespace) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	var d net.Dialer // an address without a name is dialled on the calling thread
	err = n.Do(func() error {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// pids returns what runs in the namespace, this process left out.
func (n Namespace) pids() ([]PID, error) {
	out, err := output(exec.Command("ip", "netns", "pids", n.Name))
	if err != nil {
		return nil, err
	}
	var pids []PID
	for field := range strings.FieldsSeq(string(out)) {
		number, err := strconv.Atoi(field)
		if err != nil || number == os.Getpid() {
			continue
		}
		if p, err := FindPID(number); err == nil {
			pids = append(pids, p)
		}
	}
	return pids, nil
}

func (n Namespace) ip(args ...string) error { return ip(append([]string{"-n", n.Name}, args...)...) }

// steer has the namespace's routing rules asked for every packet, those of its own addresses and of established
// connections included. Rules of rulePref then decide what is lost.
func (n Namespace) steer() error {
	for _, args := range [][]string{
		// The table of local addresses has the first place by default.
		{"rule", "add", "pref", "100", "lookup", "local"},
		{"rule", "del", "pref", "0"},
	} {
		if err := n.ip(args...); err != nil {
			return err
		}
	}
	// Early demultiplexing hands packets of established connections to their sockets without asking the rules.
	return n.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_early_demux", []byte("0"), 0) })
}

// rulePref is the place of lose's rules, before the table of local addresses.
const rulePref = "50"

// lose makes the packets that fit the selector of ip-rule(8) vanish: nobody is told.
func (n Namespace) lose(selector ...string) error {
	args := append([]string{"rule", "add", "pref", rulePref}, selector...)
	return n.ip(append(args, "blackhole")...)
}

// loseNothing undoes every lose.
func (n Namespace) loseNothing() error {
	rules, err := output(exec.Command("ip", "-n", n.Name, "rule", "list", "pref", rulePref))
	if err != nil {
		return err
	}
	for range strings.Count(string(rules), "\n") {
		if err := n.ip("rule", "del", "pref", rulePref); err != nil {
			return err
		}
	}
	return nil
}

func ip(args ...string) error {
	_, err := output(exec.Command("ip", args...))
	return err
}

func tc(args ...string) error {
	_, err := output(exec.Command("tc", args...))
	return err
}
