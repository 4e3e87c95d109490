package netboot_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot"
)

// patience is how long a test waits for what must happen on a machine that is busy with other things.
const patience = 30 * time.Second

// need fails the test, rather than skip it, where a program is missing.
func need(t *testing.T, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing: apt-get install %s", program, debian)
	}
}

// command runs a program to its end and returns what it wrote.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A bench is a server in a namespace with a bridge that clients are plugged into.
type bench struct {
	*server
	t       *testing.T
	name    string // of the server's namespace, and the beginning of the clients'
	clients int
}

// A server is a process that serves in a namespace.
type server struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when the server's output has ended
	mu    sync.Mutex
	lines []string
	news  chan struct{}
}

// newBench starts a server, to be stopped and removed with the test.
func newBench(t *testing.T) *bench {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("network namespaces need root: run the tests with make test, or with go test -exec sudo")
	}
	need(t, "ip", "iproute2")
	b := &bench{t: t, name: fmt.Sprintf("samara-nb-%d", os.Getpid())}
	b.addNamespace(b.name)
	b.ip(b.name, "link add br0 type bridge stp_state 0 forward_delay 0")
	b.ip(b.name, "link set lo up")
	b.ip(b.name, "link set br0 up")
	b.ip(b.name, "address add %s/24 dev br0", serverAddress)
	b.ip(b.name, "address add 10.79.0.1/24 dev br0")
	b.ip(b.name, "route add 10.78.0.0/24 via %s", relayAddress)
	b.server = startServer(t, b.name, 1, 1)
	return b
}

func (b *bench) addNamespace(name string) {
	b.t.Helper()
	command(b.t, "ip", "netns", "add", name)
	b.t.Cleanup(func() { command(b.t, "ip", "netns", "delete", name) })
}

func (b *bench) ip(namespace, format string, args ...any) {
	b.t.Helper()
	command(b.t, "ip", append([]string{"-n", namespace}, strings.Fields(fmt.Sprintf(format, args...))...)...)
}

// startServer runs this binary again, in a namespace, as the controller with that number of so many.
func startServer(t *testing.T, namespace string, number, of int) *server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, done: make(chan struct{}), news: make(chan struct{}, 1)}
	s.cmd = exec.Command("ip", "netns", "exec", namespace, self)
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d/%d", serverMode, number, of))
	var stderr strings.Builder
	s.cmd.Stderr = &stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			s.mu.Lock()
			s.lines = append(s.lines, lines.Text())
			s.mu.Unlock()
			select {
			case s.news <- struct{}{}:
			default:
			}
		}
		close(s.done)
	}()
	t.Cleanup(func() {
		if s.cmd.ProcessState != nil { // it was killed
			return
		}
		_ = s.stdin.Close()
		select {
		case <-s.done:
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
			t.Error("the server did not stop")
		}
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("server: %v\n%s", err, stderr.String())
		}
	})
	s.await("ready")
	return s
}

// kill ends the server without a word.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.done
	_ = s.cmd.Wait() // says that it was killed
}

// believe tells the server which controllers live, by their numbers.
func (s *server) believe(live ...int) {
	s.t.Helper()
	fmt.Fprintln(s.stdin, strings.Trim(fmt.Sprint(live), "[]"))
	s.await(fmt.Sprintf("live %v", live))
}

// stallAt makes the server answer no more than half of a "blob", no "script", or everything: "nothing".
func (s *server) stallAt(what string) {
	s.t.Helper()
	fmt.Fprintln(s.stdin, "stall", what)
	s.await("will stall at " + what)
}

// stop ends the server and returns what it counted.
func (s *server) stop() netboot.Counters {
	s.t.Helper()
	_ = s.stdin.Close()
	line := s.await("counters ")
	var c netboot.Counters
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "counters ")), &c); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// await waits until the server has said a line that begins with prefix, and returns it.
func (s *server) await(prefix string) string {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		lines := s.said()
		for _, l := range lines {
			if strings.HasPrefix(l, prefix) {
				return l
			}
		}
		select {
		case <-s.news:
		case <-s.done:
			if len(s.said()) == len(lines) {
				s.t.Fatalf("the server ended without %q; it said:\n%s", prefix, strings.Join(lines, "\n"))
			}
		case <-deadline:
			s.t.Fatalf("the server did not say %q; it said:\n%s", prefix, strings.Join(lines, "\n"))
		}
	}
}

func (s *server) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

// A host is a client's namespace with one interface, eth0, on the bridge.
type host struct {
	b    *bench
	name string
	mac  fleet.MAC
	dir  string
}

// plug adds a host with that MAC and those addresses.
func (b *bench) plug(mac fleet.MAC, addresses ...string) *host {
	b.t.Helper()
	b.clients++
	h := &host{b: b, name: fmt.Sprintf("%s-%d", b.name, b.clients), mac: mac, dir: b.t.TempDir()}
	b.addNamespace(h.name)
	port := fmt.Sprintf("port%d", b.clients)
	b.ip(b.name, "link add %s type veth peer name eth0 address %s netns %s", port, mac, h.name)
	b.ip(b.name, "link set %s master br0 up", port)
	b.ip(h.name, "link set lo up")
	b.ip(h.name, "link set eth0 up")
	for _, a := range addresses {
		b.ip(h.name, "address add %s dev eth0", a)
	}
	// The kernel tells a cable's two ends and the bridge of the carrier from a queue of its own, up to a second later.
	// A frame that is sent before is dropped without a trace.
	b.awaitLink(h.name, "eth0", "state UP")
	b.awaitLink(b.name, port, "state forwarding")
	b.awaitLink(b.name, "br0", "state UP")
	return h
}

// awaitLink waits until ip-link(8) says text of a link.
func (b *bench) awaitLink(namespace, link, text string) {
	b.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		out := command(b.t, "ip", "-n", namespace, "-d", "-o", "link", "show", "dev", link)
		if strings.Contains(out, text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%s did not come to be in %q: %s", link, text, out)
		}
	}
}

// run runs a program on the host.
func (h *host) run(name string, args ...string) string {
	h.b.t.Helper()
	return command(h.b.t, "ip", append([]string{"netns", "exec", h.name, name}, args...)...)
}

func (h *host) try(name string, args ...string) (string, error) {
	h.b.t.Helper()
	return try(h.b.t, "ip", append([]string{"netns", "exec", h.name, name}, args...)...)
}

// until runs a program on the host until it writes a line with text, and then kills it, as if the machine lost its
// power. It returns what the program wrote.
func (h *host) until(text, name string, args ...string) string {
	h.b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.name, name}, args...)...)
	output, err := cmd.StderrPipe()
	if err != nil {
		h.b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.b.t.Fatal(err)
	}
	var out strings.Builder
	found := false
	for lines := bufio.NewScanner(output); !found && lines.Scan(); {
		fmt.Fprintln(&out, lines.Text())
		found = strings.Contains(lines.Text(), text)
	}
	cancel()
	_ = cmd.Wait()
	if !found {
		h.b.t.Fatalf("%s did not write %q, but:\n%s", name, text, out.String())
	}
	return out.String()
}

// path names a file of the host's own.
func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// recorder returns a script for a DHCP client that adds its environment to a file.
func (h *host) recorder(to string) string {
	h.b.t.Helper()
	script := h.path("record")
	text := "#!/bin/sh\n{ echo \"event=$1\"; env; echo; } >> " + h.path(to) + "\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		h.b.t.Fatal(err)
	}
	return script
}

// read returns a file of the host's own.
func (h *host) read(name string) string {
	h.b.t.Helper()
	b, err := os.ReadFile(h.path(name))
	if err != nil {
		h.b.t.Fatal(err)
	}
	return string(b)
}

// inside calls f on a thread in the host's namespace. Sockets that f opens stay in it.
func (h *host) inside(f func() error) {
	h.b.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- func() error {
			ns, err := os.Open(filepath.Join("/run/netns", h.name))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter namespace %s: %w", h.name, err)
			}
			return f()
		}()
	}()
	if err := <-done; err != nil {
		h.b.t.Fatal(err)
	}
}
