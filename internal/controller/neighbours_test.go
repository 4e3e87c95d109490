package controller

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/internal/observe"
	"github.com/samara-hpc/samara/raftstore"
)

// A fixedStore is a store whose state does not change.
type fixedStore struct{ state fleet.State }

func (s fixedStore) State() fleet.State                                           { return s.state }
func (s fixedStore) Read(context.Context, api.Consistency) (fleet.State, error)   { return s.state, nil }
func (s fixedStore) Propose(context.Context, fleet.Entry) (fleet.Revision, error) { return 0, nil }
func (s fixedStore) StateAt(fleet.Revision) (fleet.State, bool)                   { return s.state, true }
func (s fixedStore) Wait(ctx context.Context, after fleet.Revision) (fleet.State, error) {
	if s.state.Revision() > after {
		return s.state, nil
	}
	<-ctx.Done()
	return fleet.State{}, ctx.Err()
}

func TestNeighboursSeeEachOtherComeAndGo(t *testing.T) {
	d, state, _ := initialised(t)
	cluster, _ := state.Cluster()
	authority, err := (&keyring{dir: d}).authority(cluster)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := identity.Pin(cluster.CA)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(id string) func() (*tls.Certificate, error) {
		key, keyPEM, err := identity.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := authority.Issue(identity.Subject{Role: identity.RoleController, Name: id}, key.Public(), []netip.Addr{loopback}, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		return func() (*tls.Certificate, error) { return &pair, nil }
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	two := []fleet.Controller{
		{ID: "head1", Address: loopback, Ports: fleet.Ports{Control: port, Boot: 1, Swarm: 1, Gossip: 1}},
		{ID: "head2", Address: netip.MustParseAddr("127.0.0.2"), Ports: fleet.DefaultPorts},
	}
	if state, err = state.Apply(fleet.Entry{Command: &fleet.ReplaceControllers{Controllers: two}, At: time.Now()}, state.Revision()+1); err != nil {
		t.Fatal(err)
	}

	// head1 answers, and has seen a machine that nobody knows.
	journal := observe.New(func(fleet.MAC) (string, bool) { return "", false }, time.Now)
	journal.Unknown(fleet.UnknownMachine{MAC: fleet.MAC{2, 3, 4, 5, 6, 7}})
	spent := new(identity.SpentTokens)
	if err := spent.Spend(identity.BootToken{BootID: "b1", Expires: time.Now().Add(time.Minute)}, []byte("key"), time.Now()); err != nil {
		t.Fatal(err)
	}
	ahead := time.Hour
	server := api.New(api.Config{Store: fixedStore{state}, Logger: slog.New(slog.DiscardHandler), Peers: &peering{
		store: new(raftstore.Store), journal: journal, spent: spent, epoch: "e",
		hello: func() api.Hello { return api.Hello{ID: "head1", Version: "9", Time: time.Now().Add(ahead)} },
	}})
	config, err := identity.ServerConfig(cluster.CA, certificate("head1"), []string{protoHTTP})
	if err != nil {
		t.Fatal(err)
	}
	mux := newPortMux(l, config, slog.New(slog.DiscardHandler))
	serving, stop := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() { _ = mux.run(serving) })
	served.Go(func() { _ = server.Serve(serving, mux.listener(protoHTTP)) })
	defer served.Wait()
	defer stop()

	// head2 watches.
	told := make(chan api.Observations, 16)
	show := certificate("head2")
	n := newNeighbours(self{ID: "head2", Address: two[1].Address, Ports: two[1].Ports}, func() fleet.State { return state },
		func(c fleet.Controller) *api.PeerClient {
			return api.NewPeerClient(controlAddress(c.Address, c.Ports), pin, show, c.ID)
		}, func(_ string, o api.Observations) { told <- o }, slog.New(slog.DiscardHandler))
	watching, end := context.WithCancel(t.Context())
	defer end()
	var watched sync.WaitGroup
	watched.Go(func() { _ = n.run(watching, fixedStore{state}.Wait) })
	defer watched.Wait()
	defer end()

	waitUntil(t, "head1 to be seen", func() bool { return len(n.live()) == 2 })
	seen := n.all()
	if len(seen) != 1 || seen[0].hello.Version != "9" || seen[0].skew < ahead-time.Minute || seen[0].skew > ahead+time.Minute {
		t.Errorf("head1: got %+v", seen)
	}
	select {
	case o := <-told:
		if len(o.Unknown) != 1 || len(o.Spent) != 1 || o.Spent[0].BootID != "b1" {
			t.Errorf("head1 told %+v", o)
		}
	case <-time.After(time.Minute):
		t.Error("head1 told nothing")
	}
	stop()
	served.Wait()
	waitUntil(t, "head1 to be missed", func() bool { return len(n.live()) == 1 })
	if first := n.live()[0].ID; first != "head2" {
		t.Errorf("alone, head2 sees %s", first)
	}
}

func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}
