package controller

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// serving returns the membership of a cluster of one controller, whose store runs.
func serving(t *testing.T) *membership {
	t.Helper()
	d, _, _ := initialised(t)
	me, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	store, err := raftstore.Open(raftstore.Config{Dir: d.path("raft"), ID: me.ID, Address: controlAddress(me.Address, me.Ports), Stream: lonelyStream(t, me)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := store.WaitLeader(ctx); err != nil {
		t.Fatal(err)
	}
	cluster, ok := store.State().Cluster()
	if !ok {
		t.Fatal("the store holds no cluster")
	}
	pin, err := identity.Pin(cluster.CA)
	if err != nil {
		t.Fatal(err)
	}
	return &membership{dir: d, self: me, version: "1.0", pin: pin, store: store, authority: (&keyring{dir: d}).authority,
		logger: slog.New(slog.DiscardHandler), now: time.Now}
}

// asking returns a request of a fresh machine, with a fresh key.
func asking(t *testing.T, id, address, token string) api.JoinRequest {
	t.Helper()
	key, _, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return api.JoinRequest{Token: token, ID: id, Address: netip.MustParseAddr(address), Ports: fleet.DefaultPorts,
		CSR: csr, Format: fleet.Format, Version: "0.9", Time: time.Now()}
}

var joinedFrom = netip.MustParseAddrPort("127.0.0.2:40000")

func TestJoinsThatAreRefusedChangeNothing(t *testing.T) {
	t.Parallel()
	m := serving(t)
	token := func(life time.Duration) string {
		made, err := m.Token(t.Context(), life, "test", "")
		if err != nil {
			t.Fatal(err)
		}
		return made.Token
	}
	spent, free := token(time.Hour), token(time.Hour)
	node := fleet.Node{Name: "n1", Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.0.0.9")}}}}
	if _, err := m.store.Propose(t.Context(), fleet.Entry{Command: &fleet.AddNodes{Nodes: []fleet.Node{node}}, ID: newRequestID(), At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Join(t.Context(), joinedFrom, asking(t, "head2", "127.0.0.2", spent)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		given func(*api.JoinRequest)
		want  error
		says  string
	}{
		"a clock that is hours behind": {func(r *api.JoinRequest) { r.Time = r.Time.Add(-3 * time.Hour) }, api.ErrClock, "chronyc makestep"},
		"a clock that is hours ahead":  {func(r *api.JoinRequest) { r.Time = r.Time.Add(3 * time.Hour) }, api.ErrClock, "join again with the same token"},
		"a clock that is at zero":      {func(r *api.JoinRequest) { r.Time = time.Time{} }, api.ErrClock, "the clock of head3"},
		"an older format":              {func(r *api.JoinRequest) { r.Format = fleet.Format - 1 }, fleet.ErrFormat, "install samara 1.0 there"},
		"a token that another used":    {func(r *api.JoinRequest) { r.Token = spent }, fleet.ErrJoin, "controller head2 has used the token"},
		"its name with another key":    {func(r *api.JoinRequest) { r.Token, r.ID, r.Address = spent, "head2", netip.MustParseAddr("127.0.0.2") }, fleet.ErrJoin, "samara controller token makes another"},
		"no token":                     {func(r *api.JoinRequest) { r.Token = "" }, fleet.ErrJoin, "samara controller token"},
		"a name that is taken":         {func(r *api.JoinRequest) { r.ID = "head1" }, fleet.ErrExists, "choose another name"},
		"a name that is none":          {func(r *api.JoinRequest) { r.ID = "Head 3" }, fleet.ErrInvalid, "Head 3"},
		"an address that is taken":     {func(r *api.JoinRequest) { r.Address = loopback }, fleet.ErrExists, "controller head1 has it"},
		"an address of a node":         {func(r *api.JoinRequest) { r.Address = netip.MustParseAddr("10.0.0.9") }, fleet.ErrExists, "node n1 has it"},
		"no address":                   {func(r *api.JoinRequest) { r.Address = netip.Addr{} }, fleet.ErrInvalid, "address"},
		"no ports":                     {func(r *api.JoinRequest) { r.Ports = fleet.Ports{} }, fleet.ErrInvalid, "port"},
		"no key":                       {func(r *api.JoinRequest) { r.CSR = nil }, fleet.ErrInvalid, "request"},
		"a key that is torn":           {func(r *api.JoinRequest) { r.CSR = r.CSR[:len(r.CSR)/2] }, fleet.ErrInvalid, "request"},
	} {
		before, _ := m.store.State().Cluster()
		r := asking(t, "head3", "127.0.0.3", free)
		c.given(&r)
		_, err := m.Join(t.Context(), joinedFrom, r)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %v and %q", what, err, c.want, c.says)
			continue
		}
		if strings.Contains(err.Error(), free) || strings.Contains(err.Error(), spent) {
			t.Errorf("%s: a token stands in %v", what, err)
		}
		after, _ := m.store.State().Cluster()
		if after.Revision != before.Revision || !slices.Equal(after.Controllers, before.Controllers) {
			t.Errorf("%s: from revision %d of the cluster to %d, controllers %+v", what, before.Revision, after.Revision, after.Controllers)
		}
	}
	if _, err := m.Join(t.Context(), joinedFrom, asking(t, "head3", "127.0.0.3", free)); err != nil {
		t.Errorf("with the token that was refused for other reasons: %v", err)
	}
}

func TestAJoinIsAnsweredAgain(t *testing.T) {
	t.Parallel()
	m := serving(t)
	token, err := m.Token(t.Context(), time.Hour, "test", "")
	if err != nil {
		t.Fatal(err)
	}
	r := asking(t, "head2", "127.0.0.2", token.Token)
	first, err := m.Join(t.Context(), joinedFrom, r)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := m.store.State().Cluster()
	m.now = func() time.Time { return time.Now().Add(2 * time.Hour) } // when the token holds no more
	r.Time = m.now()
	again, err := m.Join(t.Context(), joinedFrom, r)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := m.store.State().Cluster(); after.Revision != before.Revision {
		t.Errorf("asked again: from revision %d of the cluster to %d", before.Revision, after.Revision)
	}
	for what, a := range map[string]api.JoinAnswer{"first": first, "again": again} {
		leaf := parsed(t, a.Certificate)
		who, err := identity.CertSubject(leaf)
		if err != nil || who != (identity.Subject{Role: identity.RoleController, Name: "head2"}) {
			t.Errorf("%s: a certificate for %v, %v", what, who, err)
		}
		if a.Cluster != "c1" || a.ClusterID != first.ClusterID || len(a.SealKey) == 0 || !bytes.Equal(a.CA, first.CA) || len(a.Controllers) != 2 {
			t.Errorf("%s: %+v", what, a)
		}
	}
	if key := parsed(t, first.Certificate).RawSubjectPublicKeyInfo; !bytes.Equal(key, parsed(t, again.Certificate).RawSubjectPublicKeyInfo) {
		t.Error("asked again: the certificate is for another key")
	}
	r.Address = netip.MustParseAddr("127.0.0.4")
	if _, err := m.Join(t.Context(), joinedFrom, r); !errors.Is(err, fleet.ErrJoin) {
		t.Errorf("from elsewhere: got %v, want %v", err, fleet.ErrJoin)
	}
}

// parsed returns the first certificate of a PEM file.
func parsed(t *testing.T, file []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(file)
	if block == nil {
		t.Fatalf("no certificate in %q", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhoOnlyHasTheNameOfAControllerIsRefused(t *testing.T) {
	t.Parallel()
	m := serving(t)
	take := func(id, address string) tls.ConnectionState {
		token, err := m.Token(t.Context(), time.Hour, "test", "")
		if err != nil {
			t.Fatal(err)
		}
		answer, err := m.Join(t.Context(), joinedFrom, asking(t, id, address, token.Token))
		if err != nil {
			t.Fatal(err)
		}
		leaf := parsed(t, answer.Certificate)
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
	}
	change := func(c fleet.Command) {
		if _, err := m.store.Propose(t.Context(), fleet.Entry{Command: c, ID: newRequestID(), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	old := take("head2", "127.0.0.2")
	if err := controllersOnly(old, m.store); err != nil {
		t.Errorf("a controller: %v", err)
	}
	change(&fleet.RemoveController{ID: "head2"})
	if err := controllersOnly(old, m.store); !errors.Is(err, identity.ErrNotTrusted) {
		t.Errorf("one that was removed: got %v, want %v", err, identity.ErrNotTrusted)
	}
	successor := take("head2", "127.0.0.2")
	if err := controllersOnly(successor, m.store); err != nil {
		t.Errorf("its successor: %v", err)
	}
	if err := controllersOnly(old, m.store); !errors.Is(err, identity.ErrNotTrusted) || !strings.Contains(err.Error(), "another controller is called head2 now") {
		t.Errorf("one whose name another has: got %v, want %v", err, identity.ErrNotTrusted)
	}
	if err := controllersOnly(old, nil); err != nil {
		t.Errorf("before anything is known: %v", err)
	}
}
