// Package controller puts one controller together and runs it. It is the only place where the parts meet.
package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/internal/netboot"
	"github.com/samara-hpc/samara/internal/observe"
	"github.com/samara-hpc/samara/mesh"
	"github.com/samara-hpc/samara/raftstore"
	"github.com/samara-hpc/samara/seeder"
	"github.com/samara-hpc/samara/seeder/handout"
)

// Config says how a controller runs.
type Config struct {
	Dir        string                            // made by Init
	Socket     string                            // path of the Unix socket for people on this machine
	Interfaces []string                          // to answer DHCP on; empty means all
	LoaderDir  string                            // of iPXE's binaries; empty means where the distribution's package puts them
	Agent      func(arch string) ([]byte, error) // the program for nodes of that architecture
	Version    string                            // of this program
	Logger     *slog.Logger

	Metrics      netip.AddrPort // where to tell metrics in clear; the zero value is nowhere
	CollectAfter time.Duration  // how long a blob stays that nothing needs any more; 0 means ten minutes
}

// Serve runs the controller in c.Dir until ctx ends or a part of it fails. It starts to answer machines once the
// replica has the cluster's state.
func Serve(ctx context.Context, c Config) (err error) {
	d := dir(c.Dir)
	me, err := d.load()
	if err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	k, err := openCore(d, me, c)
	if err != nil {
		return err
	}
	defer k.peer.close()
	return runStack(ctx, []part{
		{"control port", k.mux.run},
		{"state", k.store.Run}, // hands leadership over through the port
		{"services", k.serve},
	})
}

// A core is what a controller has before it has read the cluster's state.
type core struct {
	Config
	dir         dir
	self        self
	blobs       *blob.Store
	mux         *portMux
	store       *raftstore.Store
	peer        *raftPeer
	pin         string
	key         fleet.Digest // of this controller; see fleet.Controller
	certificate func() (*tls.Certificate, error)
}

// The protocols of the control port.
const protoHTTP = "http/1.1"

func openCore(d dir, me self, c Config) (*core, error) {
	k := &core{Config: c, dir: d, self: me, certificate: d.certificate}
	var err error
	if k.blobs, err = blob.Open(d.path("blobs")); err != nil {
		return nil, err
	}
	ca, err := d.read("keys", "ca.crt")
	if err != nil {
		return nil, err
	}
	if k.pin, err = identity.Pin(ca); err != nil {
		return nil, err
	}
	own, err := d.certificate()
	if err != nil {
		return nil, err
	}
	k.key = keyOf(own.Leaf)
	server, err := identity.ServerConfig(ca, d.certificate, []string{protoHTTP, raftstore.ALPN})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", controlAddress(me.Address, me.Ports))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("control port %d is in use: stop the program that holds it (ss -ltnp names it): %w", me.Ports.Control, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("control port: %s is not an address of this machine (ip -4 address shows those it has): %w", me.Address, err)
	case err != nil:
		return nil, fmt.Errorf("control port: %w", err)
	}
	k.mux = newPortMux(l, server, c.Logger)
	var replica atomic.Pointer[raftstore.Store] // peers may call while it is being opened
	k.peer = &raftPeer{pin: k.pin, certificate: d.certificate, genuine: genuine(&replica)}
	k.store, err = raftstore.Open(raftstore.Config{
		Dir: d.path("raft"), ID: me.ID, Address: controlAddress(me.Address, me.Ports), Peer: k.peer, Logger: c.Logger,
		Stream: raftstore.NewStream(k.mux.listener(raftstore.ALPN), l.Addr(), k.dialling(),
			func(s tls.ConnectionState) error { return controllersOnly(s, replica.Load()) }),
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	replica.Store(k.store)
	return k, nil
}

// serve waits for the cluster's state, opens everything that answers nodes and people, and runs it.
func (k *core) serve(ctx context.Context) error {
	cluster, err := k.cluster(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	parts, err := k.open(cluster)
	if err != nil {
		return err
	}
	k.Logger.Info("serving", "controller", k.self.ID, "cluster", cluster.Name, "address", k.self.Address, "revision", k.store.State().Revision())
	return runAll(ctx, parts)
}

// open opens the parts that answer nodes and people. What it opened before an error goes with the process.
func (k *core) open(cluster fleet.Cluster) ([]part, error) {
	log, state, me := k.Logger, k.store.State, k.self.controller()
	gossip, err := mesh.Open(mesh.Config{
		Name: "controller/" + me.ID, Bind: netip.AddrPortFrom(me.Address, me.Ports.Gossip), Cluster: cluster.ID, Key: cluster.MeshKey,
		Meta: mesh.Meta{Role: mesh.RoleController, Swarm: me.Ports.Swarm}, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	journal := observe.New(func(m fleet.MAC) (string, bool) {
		n, ok := state().NodeByMAC(m)
		return n.Name, ok
	}, time.Now)
	spent := new(identity.SpentTokens)
	addresses := &roster{state: state, now: time.Now}
	server, swarm, err := k.openSwarm(addresses)
	if err != nil {
		return nil, err
	}
	peers := newPeerTable(peerSources{
		gossip: func() []holder { return holders(gossip.Members()) }, rackOf: addresses.rackOfNode,
		isNode: func(a netip.Addr) bool { return addresses.nodeOf(a) != "" },
		faults: server.Faults,
	})
	others := newNeighbours(k.self, state, func(c fleet.Controller) *api.PeerClient {
		client := api.NewPeerClient(controlAddress(c.Address, c.Ports), k.pin, k.certificate, c.ID)
		client.Demand(k.peer.genuine)
		return client
	}, (&learner{state: state, journal: journal, spent: spent, peers: peers, now: time.Now}).learn, log)
	depot := newDepot(depotConfig{
		Self: me, Blobs: k.blobs, Server: server, Swarm: swarm, Log: store{k.store}, CollectAfter: k.CollectAfter, Agent: k.Agent, Others: others.forDepot, Logger: log,
		Running: func(root fleet.Digest) bool { return peers.runs(root, time.Now()) },
		Nodes:   func(root fleet.Digest) []netip.AddrPort { return whole(peers.members(root, time.Now())) },
	})
	keys := &keyring{dir: k.dir}
	agents := &agents{state: state, blobs: k.blobs, journal: journal, peers: peers, roster: addresses,
		origins: depot.origin.offering, authority: keys.authority, spent: spent, now: time.Now}
	claims := newClaimant(k.store.Propose, state, me.ID, log)
	machines, err := netboot.Open(netboot.Config{
		State: state, Self: me, Pin: k.pin, Token: agents.token, Observer: journal, Tracker: k.tracker(depot.origin, peers, addresses),
		Live: others.live, Claim: claims.claim,
		Blob:      func(d fleet.Digest) (netboot.Blob, error) { return k.blobs.Open(d) },
		LoaderDir: k.LoaderDir, Interfaces: k.Interfaces, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	h := &health{self: k.self, version: k.Version, store: k.store, blobs: k.blobs, depot: depot,
		members: func() int { return alive(gossip.Members()) }, boot: machines.Counters, started: time.Now(), now: time.Now}
	members := &membership{dir: k.dir, self: k.self, version: k.Version, pin: k.pin, store: k.store, neighbours: others, peer: k.peer,
		hello: h.hello, authority: keys.authority, logger: log, now: time.Now}
	h.controllers = members.List
	people := api.New(api.Config{Store: store{k.store}, Images: depot.images, Observer: observer{journal}, Agents: agents, Health: h,
		Roots: roots{k.blobs}, Controllers: members, Logger: log,
		Swarms:  &swarms{state: state, blobs: k.blobs, peers: peers, nodeOf: addresses.nodeOf, origins: depot.origin.origins, now: time.Now},
		Peers:   &peering{blobSource: depot.puller, store: k.store, journal: journal, spent: spent, epoch: identity.NewBootID(), hello: h.hello},
		Users:   &users{state: state, authority: keys.authority},
		Backups: &backups{dir: k.dir, state: state, blobs: k.blobs, version: k.Version, now: time.Now}})
	socket, err := api.ListenSocket(k.Socket)
	if err != nil {
		return nil, err
	}
	metrics, err := k.metrics(people)
	if err != nil {
		return nil, err
	}
	renewal := &renewal{dir: k.dir, self: k.self, state: state, authority: keys.authority, logger: log, now: time.Now}
	return append(append(depot.parts(), metrics...), []part{
		{"gossip", gossip.Run},
		{"gossip among controllers", func(ctx context.Context) error { return k.joinGossip(ctx, gossip) }},
		{"origin", server.Run},
		{"swarm", swarm.Run},
		{"other controllers", func(ctx context.Context) error { return others.run(ctx, k.store.Wait) }},
		{"membership", k.untilRemoved},
		{"standing", func(ctx context.Context) error { return k.untilDisowned(ctx, others) }},
		{"discovery", claims.run},
		{"certificates", renewal.run},
		{"authority's key", func(ctx context.Context) error { return k.dir.sealOnce(ctx, k.store, me.ID) }},
		{"boot services", machines.Run},
		{"local socket", func(ctx context.Context) error { return people.Serve(ctx, socket) }},
		{"control API", func(ctx context.Context) error { return people.Serve(ctx, k.mux.listener(protoHTTP)) }},
	}...), nil
}

// openSwarm opens the port at which this controller offers images, and fetches those that it lacks.
func (k *core) openSwarm(addresses *roster) (*seeder.Server, *seeder.Client, error) {
	at := netip.AddrPortFrom(k.self.Address, k.self.Ports.Swarm)
	server, err := seeder.OpenServer(seeder.ServerConfig{Listen: at, Allow: addresses.holds, Rack: addresses.rackOf, Copies: addresses.isController,
		MaxPeers: maxOriginPeers, Logger: k.Logger})
	if err != nil {
		return nil, nil, err
	}
	client, err := seeder.Open(seeder.Config{Listen: at, DialOnly: true, Allow: addresses.holds, MaxPeers: maxCopyPeers, Logger: k.Logger})
	if err != nil {
		return nil, nil, err
	}
	server.PassOn(client)
	return server, client, nil
}

// tracker answers standard clients of a swarm.
func (k *core) tracker(source *origin, peers *peerTable, addresses *roster) http.Handler {
	return seeder.NewTracker(seeder.TrackerConfig{Allow: addresses.holds, Members: func(h seeder.Hash) []handout.Member {
		d, ok := source.digestOf(h)
		if !ok {
			return nil
		}
		var origins []handout.Member
		for _, c := range source.offering(d) {
			origins = append(origins, handout.Member{Name: c.ID, Addr: swarmAddress(c), Holding: handout.HoldsAll, Alive: true, Origin: true})
		}
		return append(origins, peers.members(d, time.Now())...)
	}})
}

// joinGossip makes contact with the other controllers, whoever they are, until ctx ends.
func (k *core) joinGossip(ctx context.Context, gossip *mesh.Mesh) error {
	var last []netip.AddrPort
	var joining sync.WaitGroup
	defer joining.Wait()
	stop := func() {}
	defer func() { stop() }()
	return eachState(ctx, k.store.Wait, func(state fleet.State) error {
		cluster, _ := state.Cluster()
		var seeds []netip.AddrPort
		for _, c := range cluster.Controllers {
			if c.ID != k.self.ID {
				seeds = append(seeds, netip.AddrPortFrom(c.Address, c.Ports.Gossip))
			}
		}
		if slices.Equal(seeds, last) {
			return nil
		}
		last = seeds
		stop()
		attempt, end := context.WithCancel(ctx)
		stop = end
		joining.Go(func() {
			if err := gossip.Join(attempt, seeds); err != nil && attempt.Err() == nil {
				k.Logger.Warn("cannot join the gossip of the other controllers", "err", err)
			}
		})
		return nil
	})
}

// Bounds of the connections for each image. Every node that may be told of the origin, of a cold cluster, may call it at
// once; a controller that copies an image has the other controllers, and nodes beside them.
const (
	maxOriginPeers = 512
	maxCopyPeers   = 64
)
