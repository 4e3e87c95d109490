package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"samara": main}) }

// TestScripts runs the scripts under testdata against a controller's API, with a real state and nothing behind it.
func TestScripts(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               serveScript,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status, "lines": lines, "lead": lead, "more": more, "watch": watch, "swarm": swarm},
	})
}

// status runs a command that must end with an exit status: status 2 samara node add 'n[4-1]'.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// lines checks how many lines the last command wrote: lines 1 stderr.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines N stdout|stderr")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	for _, c := range ts.ReadFile(args[1]) {
		if c == '\n' {
			got++
		}
	}
	if got != want {
		ts.Fatalf("%s has %d lines, want %d", args[1], got, want)
	}
}

// serveScript starts a controller's API for one script: SAMARA_SOCKET leads to it, and so do $SERVER and $IDENTITY.
func serveScript(env *testscript.Env) error {
	ca, caKey, err := identity.NewAuthority("hall3", time.Now())
	if err != nil {
		return err
	}
	m := &memory{began: time.Now().Add(-48*time.Hour - 30*time.Minute), changed: make(chan struct{}), leader: "head"}
	env.Values[memoryKey{}] = m
	if err := m.begin(ca); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "samara")
	if err != nil {
		return err
	}
	socket, err := api.ListenSocket(filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	port, err := listenTLS(ca, caKey, filepath.Join(env.WorkDir, "admin"))
	if err != nil {
		return err
	}
	server := api.New(api.Config{Store: m, Images: m, Observer: m, Agents: m, Health: m, Controllers: m, Backups: m, Swarms: m, Users: people{ca, caKey},
		Logger: slog.New(slog.DiscardHandler), User: uint32(os.Getuid())})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, l := range []net.Listener{socket, port} {
		running.Go(func() {
			if err := server.Serve(ctx, l); err != nil {
				panic(err) // a test's helper has nobody else to tell
			}
		})
	}
	env.Defer(func() {
		cancel()
		running.Wait()
		_ = os.RemoveAll(dir)
	})
	env.Setenv("SAMARA_SOCKET", socket.Addr().String())
	env.Setenv("SERVER", port.Addr().String())
	env.Setenv("IDENTITY", filepath.Join(env.WorkDir, "admin"))
	return nil
}

// listenTLS listens like a controller's control port and writes an admin's identity.
func listenTLS(ca, caKey []byte, dir string) (net.Listener, error) {
	authority, err := identity.ParseAuthority(ca, caKey)
	if err != nil {
		return nil, err
	}
	issue := func(s identity.Subject) (chain, keyPEM []byte, err error) {
		key, keyPEM, err := identity.NewKey()
		if err != nil {
			return nil, nil, err
		}
		chain, err = authority.Issue(s, key.Public(), nil, time.Now(), time.Hour)
		return chain, keyPEM, err
	}
	chain, key, err := issue(identity.Subject{Role: identity.RoleController, Name: "head"})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	config, err := identity.ServerConfig(ca, func() (*tls.Certificate, error) { return &pair, nil }, []string{"http/1.1"})
	if err != nil {
		return nil, err
	}
	chain, key, err = issue(identity.OwnAdmin())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Mkdir(dir, 0o700),
		os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600),
		os.WriteFile(filepath.Join(dir, "admin.crt"), chain, 0o600),
		os.WriteFile(filepath.Join(dir, "admin.key"), key, 0o600)); err != nil {
		return nil, err
	}
	return tls.Listen("tcp", "127.0.0.1:0", config)
}

// memory is every backend of a controller.
type memory struct {
	began   time.Time
	mu      sync.Mutex
	state   fleet.State
	past    []fleet.State // from revision 1 on
	changed chan struct{} // closed with the next change
	leader  string
	swarm   api.SwarmView // but its Image
}

type memoryKey struct{}

// begin makes the cluster that scripts start from: network boot, and nothing on it.
func (m *memory) begin(ca []byte) error {
	key := make(fleet.Secret, 32)
	_, err := m.Propose(context.Background(), fleet.Entry{Command: fleet.InitCluster{
		Cluster: fleet.Cluster{Name: "hall3", ID: "42", Format: fleet.Format, CA: ca, CAKey: key, MeshKey: key, TokenKey: key, IDKey: key,
			Controllers: []fleet.Controller{{ID: "head", Address: netip.MustParseAddr("10.1.0.1"), Ports: fleet.DefaultPorts}}},
		Networks: []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/24"), Gateway: netip.MustParseAddr("10.1.0.13"), DHCP: fleet.DHCPFull}},
	}})
	return err
}

func (m *memory) State() fleet.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *memory) Propose(_ context.Context, e fleet.Entry) (fleet.Revision, error) {
	if _, err := fleet.EncodeEntry(e, fleet.Format); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leader == "" {
		return 0, fmt.Errorf("%w: no controller leads", api.ErrUnavailable)
	}
	next, err := m.state.Apply(e, m.state.Revision()+1)
	if err != nil {
		return 0, err
	}
	m.state = next
	m.past = append(m.past, next)
	close(m.changed)
	m.changed = make(chan struct{})
	return next.Revision(), nil
}

func (m *memory) Read(_ context.Context, c api.Consistency) (fleet.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leader == "" && c != api.Stale {
		return fleet.State{}, fmt.Errorf("%w: no controller leads", api.ErrUnavailable)
	}
	return m.state, nil
}

func (m *memory) Wait(ctx context.Context, after fleet.Revision) (fleet.State, error) {
	for {
		m.mu.Lock()
		state, changed := m.state, m.changed
		m.mu.Unlock()
		if state.Revision() > after {
			return state, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fleet.State{}, ctx.Err()
		}
	}
}

func (m *memory) StateAt(rev fleet.Revision) (fleet.State, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rev < 1 || int(rev) > len(m.past) {
		return fleet.State{}, false
	}
	return m.past[rev-1], true
}

// Import makes a version whose size is that of the tar stream or file; a directory counts as 1 MB.
func (m *memory) Import(ctx context.Context, r api.ImportRequest, progress func(api.Progress)) (fleet.ImageVersion, error) {
	n := int64(1e6)
	if r.Path != "" {
		info, err := os.Stat(r.Path)
		if err != nil {
			return fleet.ImageVersion{}, err
		}
		if !info.IsDir() {
			n = info.Size()
		}
	} else {
		var err error
		if n, err = io.Copy(io.Discard, r.Stream); err != nil {
			return fleet.ImageVersion{}, err
		}
	}
	if n < 10 {
		return fleet.ImageVersion{}, fmt.Errorf("%w tar: it ends after %d bytes; make it again", fleet.ErrInvalid, n)
	}
	progress(api.Progress{Step: "squashfs", Done: n, Total: n})
	progress(api.Progress{Warning: "no initramfs hooks for " + r.Source})
	blob := func(b byte) fleet.Blob { return fleet.Blob{Digest: fleet.Digest{b}, Size: n} }
	v := fleet.ImageVersion{Root: blob(1), Torrent: blob(2), Kernel: blob(3), Initramfs: blob(4), Arch: "amd64",
		KernelRelease: "6.12.0", Source: r.Source, Imported: time.Now()}
	if _, err := m.Propose(ctx, fleet.Entry{Command: fleet.AddImageVersion{Image: r.Name, Version: v, Holders: []string{"head"}}}); err != nil {
		return fleet.ImageVersion{}, err
	}
	i, _ := m.State().Image(r.Name)
	return i.Latest(), nil
}

func (m *memory) Torrent(context.Context, fleet.ImageRef) ([]byte, error) {
	return []byte("d4:infodee"), nil
}

func (m *memory) Unknown() []fleet.UnknownMachine {
	return []fleet.UnknownMachine{{MAC: fleet.MAC{0x52, 0x54, 0, 0, 0, 9}, First: m.began, Last: m.began, Requests: 3, From: "eth1",
		Firmware: "UEFI x86-64", VendorClass: "PXEClient\x1b[2J:Arch:00007"}}
}

func (m *memory) Boots(node string) []fleet.Boot {
	if b, ok := m.Latest()[node]; ok {
		return []fleet.Boot{b}
	}
	return nil
}

// Latest knows one node: n2 boots, and n3 fails to.
func (m *memory) Latest() map[string]fleet.Boot {
	phases := []fleet.PhaseEvent{
		{Phase: fleet.PhaseDHCP, At: m.began, Detail: "UEFI x86-64"},
		{Phase: fleet.PhaseScript, At: m.began.Add(2 * time.Second)},
		{Phase: fleet.PhaseImage, At: m.began.Add(10 * time.Second)},
	}
	return map[string]fleet.Boot{
		"n2": {ID: "b2", Node: "n2", MAC: fleet.MAC{2, 0, 0, 0, 0, 2}, Seen: time.Now(),
			Phases: append(phases, fleet.PhaseEvent{Phase: fleet.PhaseReady, At: m.began.Add(11 * time.Second)}),
			Swarm:  fleet.SwarmReport{Have: 523e6, Complete: true, FromPeers: 523e6, Uploaded: 1e9, Paused: "reseed is never", Ended: true}},
		"n3": {ID: "b3", Node: "n3", MAC: fleet.MAC{2, 0, 0, 0, 0, 3}, Seen: time.Now(), Phases: phases[:2], Failure: "modules: virtio_net: not found"},
	}
}

func (m *memory) Enroll(context.Context, netip.AddrPort, fleet.EnrollRequest) (fleet.EnrollAnswer, error) {
	return fleet.EnrollAnswer{}, identity.ErrToken
}

func (m *memory) Renew(context.Context, string, fleet.RenewRequest) (fleet.RenewAnswer, error) {
	return fleet.RenewAnswer{}, identity.ErrToken
}

func (m *memory) Report(context.Context, string, netip.AddrPort, fleet.Report) (fleet.SwarmAnswer, error) {
	return fleet.SwarmAnswer{}, nil
}

func (m *memory) Status(context.Context) api.Status {
	m.mu.Lock()
	leader := m.leader
	m.mu.Unlock()
	s := api.Status{ID: "head", Version: "1.0", Role: "leader", Leader: leader, Quorum: leader != "", Uptime: 90 * time.Minute, Members: 1,
		Blobs: api.BlobUsage{Count: 4, Bytes: 600e6}, Disk: api.DiskUsage{Free: 70e9, Size: 100e9}, Seeding: api.Seeding{Torrents: 1, Peers: 2, OriginBytes: 523e6}}
	if m.State().CountNodes() == 0 {
		s.Problems = []api.Problem{{What: "there is no node", Cure: "samara node add"}}
	}
	return s
}
