package api

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
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is every backend of a controller, with a real state and nothing behind it.
type memory struct {
	mu      sync.Mutex
	state   fleet.State
	entries []fleet.Entry
	latest  map[string]fleet.Boot
	told    []string // what agents said, as "verb node"
	history map[fleet.Revision]fleet.State
	changed chan struct{} // closed with each revision
	refuse  error         // what Propose answers, if set
	unread  error         // what Read answers but to Stale, if set
	readAs  *fleet.State  // what Read returns but to Stale, if set
	imports func(context.Context, ImportRequest, func(Progress)) (fleet.ImageVersion, error)
	pulls   func(context.Context, PullRequest, func(Progress)) error
	backup  func(io.Writer) error
	swarm   SwarmView // but its Image
	faults  []Suspect
	unknown []fleet.UnknownMachine
}

func (m *memory) State() fleet.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *memory) Propose(_ context.Context, e fleet.Entry) (fleet.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return 0, m.refuse
	}
	if o, known := m.state.Outcome(e.ID); known {
		return o.Revision, o.Err()
	}
	// As a log does: what cannot be encoded cannot be proposed.
	b, err := fleet.EncodeEntry(e, m.state.Format())
	if err != nil {
		return 0, err
	}
	decoded, err := fleet.DecodeEntry(b, fleet.Format)
	if err != nil {
		return 0, err
	}
	next, err := m.state.Apply(decoded, m.state.Revision()+1)
	m.state = next
	m.history[next.Revision()] = next
	close(m.changed)
	m.changed = make(chan struct{})
	if err != nil {
		return 0, err
	}
	m.entries = append(m.entries, e)
	return next.Revision(), nil
}

func (m *memory) Read(_ context.Context, c Consistency) (fleet.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case c != Stale && m.unread != nil:
		return fleet.State{}, m.unread
	case c != Stale && m.readAs != nil:
		return *m.readAs, nil
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
	s, ok := m.history[rev]
	return s, ok
}

func (m *memory) last(t testing.TB) fleet.Entry {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) == 0 {
		t.Fatal("nothing was proposed")
	}
	return m.entries[len(m.entries)-1]
}

func (m *memory) Import(ctx context.Context, r ImportRequest, progress func(Progress)) (fleet.ImageVersion, error) {
	return m.imports(ctx, r, progress)
}

func (m *memory) Torrent(_ context.Context, ref fleet.ImageRef) ([]byte, error) {
	return []byte("d4:infod4:name" + fmt.Sprint(len(ref.Name)) + ":" + ref.Name + "ee"), nil
}

func (m *memory) Swarm(_ context.Context, ref fleet.ImageRef) (SwarmView, error) {
	v := m.swarm
	v.Image = ref
	return v, nil
}

func (m *memory) Suspects() []Suspect { return m.faults }

func (m *memory) Unknown() []fleet.UnknownMachine { return m.unknown }

func (m *memory) Boots(node string) []fleet.Boot {
	if b, ok := m.latest[node]; ok {
		return []fleet.Boot{b}
	}
	return nil
}

func (m *memory) Latest() map[string]fleet.Boot { return m.latest }

func (m *memory) tell(verb, node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, verb+" "+node)
}

func (m *memory) Enroll(_ context.Context, remote netip.AddrPort, r fleet.EnrollRequest) (fleet.EnrollAnswer, error) {
	switch r.Token {
	case "good":
	case "fault":
		return fleet.EnrollAnswer{}, errors.New("/var/lib/samara/keys: disk on fire")
	default:
		return fleet.EnrollAnswer{}, fmt.Errorf("%w: malformed", identity.ErrToken)
	}
	m.tell("enroll", remote.Addr().String())
	return fleet.EnrollAnswer{Certificate: []byte("cert")}, nil
}

func (m *memory) Renew(_ context.Context, node string, _ fleet.RenewRequest) (fleet.RenewAnswer, error) {
	m.tell("renew", node)
	return fleet.RenewAnswer{}, nil
}

func (m *memory) Report(_ context.Context, node string, _ netip.AddrPort, _ fleet.Report) (fleet.SwarmAnswer, error) {
	m.tell("report", node)
	return fleet.SwarmAnswer{}, nil
}

func (m *memory) Status(context.Context) Status {
	return Status{ID: "head", Leader: "head", Quorum: true}
}

func (m *memory) List() []ControllerView {
	c, _ := m.State().Cluster()
	var all []ControllerView
	for i, ctl := range c.Controllers {
		v := ControllerView{ID: ctl.ID, Address: netip.AddrPortFrom(ctl.Address, ctl.Ports.Control), Role: RoleVoter, Alive: true, Self: i == 0}
		if v.Self {
			v.Role = RoleLeader
		}
		all = append(all, v)
	}
	return all
}

func (m *memory) Token(ctx context.Context, life time.Duration, who, why string) (JoinToken, error) {
	m.tell("token "+life.String()+" "+why, who)
	if RequestID(ctx) == "" {
		return JoinToken{}, errors.New("a request without an id")
	}
	return JoinToken{Token: "samara-join.x", Expires: time.Unix(1e9, 0).UTC()}, nil
}

func (m *memory) Join(_ context.Context, remote netip.AddrPort, r JoinRequest) (JoinAnswer, error) {
	switch r.Token {
	case "good":
		m.tell("join", r.ID+" "+remote.Addr().String())
		return JoinAnswer{Cluster: "test", SealKey: fleet.Secret(canary), Time: time.Unix(1e9, 0).UTC()}, nil
	case "late":
		return JoinAnswer{}, fmt.Errorf("%w by an hour", ErrClock)
	}
	return JoinAnswer{}, fmt.Errorf("token: %w: not known", fleet.ErrJoin)
}

func (m *memory) Remove(ctx context.Context, id string, force bool, who, why string) (fleet.Revision, error) {
	m.tell(fmt.Sprintf("remove %t %s", force, why), who)
	return m.Propose(ctx, fleet.Entry{Command: fleet.RemoveController{ID: id}, ID: RequestID(ctx), At: time.Now(), Who: who, Why: why})
}

func (m *memory) Transfer(_ context.Context, to string) error {
	m.tell("transfer", to)
	if to == "nobody" {
		return fmt.Errorf("controller %s: %w", to, fleet.ErrNotFound)
	}
	return nil
}

// Write writes a backup of a line, or what m.backup writes, if that is set.
func (m *memory) Write(_ context.Context, w io.Writer, blobs bool) error {
	if m.backup == nil {
		_, err := fmt.Fprintf(w, "backup, blobs %t", blobs)
		return err
	}
	return m.backup(w)
}

// peers is what a controller answers others.
type peers struct{ *memory }

func (p peers) Hello() Hello {
	return Hello{ID: "head", Cluster: "42", Raft: []byte(`{"term":7}`), Revision: p.State().Revision(), Leader: "head"}
}

func (p peers) Propose(ctx context.Context, entry []byte) (fleet.Revision, error) {
	e, err := fleet.DecodeEntry(entry, fleet.Format)
	if err != nil {
		return 0, err
	}
	return p.memory.Propose(ctx, e)
}

func (p peers) ReadIndex(ctx context.Context, c Consistency) (fleet.Revision, error) {
	state, err := p.Read(ctx, c)
	return state.Revision(), err
}

func (p peers) Observed(ctx context.Context, after string) (Observations, error) {
	if after == "end" {
		<-ctx.Done()
		return Observations{}, ctx.Err()
	}
	return Observations{Boots: []fleet.Boot{{ID: "b1", Node: "n1"}}, Next: after + "+"}, nil
}

func (p peers) Pull(ctx context.Context, r PullRequest, progress func(Progress)) error {
	return p.pulls(ctx, r, progress)
}

func (p peers) OpenBlob(d fleet.Digest) (io.ReadCloser, int64, error) {
	switch d {
	case fleet.Digest{1}:
		return io.NopCloser(strings.NewReader(strings.Repeat("x", 3*blobChunk))), 3 * blobChunk, nil
	case fleet.Digest{2}: // it is shorter on the disk than it was
		return io.NopCloser(strings.NewReader("torn")), 1000, nil
	}
	return nil, 0, fmt.Errorf("blob %s: %w", d, fleet.ErrNotFound)
}

// rig is a server over a Unix socket and over TLS, with the authority that it believes.
type rig struct {
	*memory
	server    *Server
	authority *identity.Authority
	pin       string
	socket    string
	address   string
	config    *tls.Config
	shown     atomic.Pointer[tls.Certificate] // the server's
}

const canary = "canary-that-must-not-be-seen-012" // 32 bytes, as keys have

func blob(b byte) fleet.Blob { return fleet.Blob{Digest: fleet.Digest{b}, Size: int64(b) * 1000} }

// newRig serves a cluster with network boot, image debian:1 and node n1 at 10.1.0.11, whose BMC has a password.
func newRig(t testing.TB, edit ...func(*Config)) *rig {
	t.Helper()
	ca, caKey, err := identity.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := identity.ParseAuthority(ca, caKey)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := identity.Pin(ca)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{latest: map[string]fleet.Boot{}, history: map[fleet.Revision]fleet.State{0: {}}, changed: make(chan struct{})}
	secret := fleet.Secret(canary)
	propose(t, m,
		fleet.InitCluster{
			Cluster: fleet.Cluster{Name: "test", ID: "42", Format: fleet.Format, CA: ca, CAKey: secret, MeshKey: secret, TokenKey: secret, IDKey: secret,
				Controllers: []fleet.Controller{{ID: "head", Address: netip.MustParseAddr("10.1.0.1"), Ports: fleet.DefaultPorts}}},
			Networks: []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/24"), DHCP: fleet.DHCPFull}},
		},
		fleet.AddImageVersion{Image: "debian", Version: fleet.ImageVersion{Root: blob(1), Torrent: blob(2), Kernel: blob(3), Initramfs: blob(4), Arch: "amd64"}, Holders: []string{"head"}},
		fleet.AddNodes{Nodes: []fleet.Node{{Name: "n1", Settings: fleet.Settings{
			Interfaces: []fleet.Interface{{Name: "default", MAC: fleet.MAC{2, 0, 0, 0, 0, 1}, IP: netip.MustParseAddr("10.1.0.11")}},
			BMC:        fleet.BMC{User: "admin", Password: secret},
		}}}},
	)
	c := Config{Store: m, Images: m, Observer: m, Agents: m, Health: m, Controllers: m, Peers: peers{m}, Backups: m, Swarms: m, Users: issuer{ca, authority}, Logger: slog.New(slog.DiscardHandler), User: uint32(os.Getuid())}
	for _, e := range edit {
		e(&c)
	}
	r := &rig{memory: m, authority: authority, pin: pin, socket: socketPath(t)}
	r.shown.Store(r.issue(t, authority, identity.Subject{Role: identity.RoleController, Name: "head"}))
	r.config, err = identity.ServerConfig(ca, func() (*tls.Certificate, error) { return r.shown.Load(), nil }, []string{"http/1.1"})
	if err != nil {
		t.Fatal(err)
	}
	unix, err := ListenSocket(r.socket)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = tcp.Addr().String()
	r.server = New(c)
	serve(t, r.server, unix, r.tls(tcp))
	return r
}

// tls returns l with the server's certificate on it.
func (r *rig) tls(l net.Listener) net.Listener { return tls.NewListener(l, r.config) }

// serve runs s on listeners until the test ends.
func serve(t testing.TB, s *Server, listeners ...net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- s.Serve(ctx, l) }()
	}
	t.Cleanup(func() {
		cancel()
		for range listeners {
			if err := <-ended; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
	})
}

func propose(t testing.TB, m *memory, commands ...fleet.Command) {
	t.Helper()
	for _, c := range commands {
		if _, err := m.Propose(t.Context(), fleet.Entry{Command: c, At: time.Now(), Who: "test"}); err != nil {
			t.Fatalf("%s: %v", c.Kind(), err)
		}
	}
}

// socketPath returns a path that is short enough for a Unix socket (unix(7): 108 bytes), wherever tests have their files.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "samara")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "s")
}

func (r *rig) issue(t testing.TB, by *identity.Authority, who identity.Subject) *tls.Certificate {
	t.Helper()
	return r.issueAt(t, by, who, time.Now())
}

// issueAt returns a certificate that is valid at a time, and one hour around it.
func (r *rig) issueAt(t testing.TB, by *identity.Authority, who identity.Subject, at time.Time) *tls.Certificate {
	t.Helper()
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := by.Issue(who, key.Public(), []netip.Addr{netip.MustParseAddr("127.0.0.1")}, at, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// local returns a client over the Unix socket.
func (r *rig) local(t testing.TB) *Client {
	t.Helper()
	c := NewSocketClient(r.socket)
	t.Cleanup(c.Close)
	return c
}

// remote returns a client over TLS, as who says; the zero Subject shows no certificate.
func (r *rig) remote(t testing.TB, who identity.Subject) *Client {
	t.Helper()
	var certificate func() (*tls.Certificate, error)
	if who != (identity.Subject{}) {
		pair := r.issue(t, r.authority, who)
		certificate = func() (*tls.Certificate, error) { return pair, nil }
		r.note(t, who, pair)
	}
	c := NewClient([]string{r.address}, r.pin, certificate)
	t.Cleanup(c.Close)
	return c
}

// note makes a person's certificate one of the state.
func (r *rig) note(t testing.TB, who identity.Subject, pair *tls.Certificate) {
	t.Helper()
	if who.Role.IsPerson() && who != identity.OwnAdmin() {
		propose(t, r.memory, fleet.AddCertificate{Name: who.Name, Role: fleet.UserRole(who.Role), Serial: identity.Serial(pair.Leaf), Expires: pair.Leaf.NotAfter})
	}
}

// peer returns a client as another controller has it, which wants to speak to the one named want.
func (r *rig) peer(t testing.TB, want string) *PeerClient {
	t.Helper()
	c := NewPeerClient(r.address, r.pin, certificateOf(r.issue(t, r.authority, identity.Subject{Role: identity.RoleController, Name: "head"})), want)
	t.Cleanup(c.Close)
	return c
}

func drain(r io.Reader) (int, error) {
	n, err := io.Copy(io.Discard, r)
	return int(n), err
}

func nodeNamed(nodes []NodeView, name string) bool {
	return slices.ContainsFunc(nodes, func(n NodeView) bool { return n.Name == name })
}

func certificateOf(c *tls.Certificate) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) { return c, nil }
}
