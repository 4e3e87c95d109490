// Package controller puts one controller together and runs it. It is the only place where the parts meet.
package controller

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
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
	return runStack(ctx, []part{
		{"control port", k.mux.run},
		{"state", k.store.Run}, // hands leadership over through the port
		{"services", k.serve},
	})
}

// A core is what a controller has before it has read the cluster's state.
type core struct {
	Config
	self  self
	blobs *blob.Store
	mux   *portMux
	store *raftstore.Store
	pin   string
}

// The protocols of the control port.
const protoHTTP = "http/1.1"

func openCore(d dir, me self, c Config) (*core, error) {
	blobs, err := blob.Open(d.path("blobs"))
	if err != nil {
		return nil, err
	}
	ca, err := d.read("keys", "ca.crt")
	if err != nil {
		return nil, err
	}
	pin, err := identity.Pin(ca)
	if err != nil {
		return nil, err
	}
	if _, err := d.certificate(); err != nil {
		return nil, err
	}
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
	mux := newPortMux(l, server, c.Logger)
	store, err := raftstore.Open(raftstore.Config{
		Dir: d.path("raft"), ID: me.ID, Address: controlAddress(me.Address, me.Ports), Logger: c.Logger,
		Stream: raftstore.NewStream(mux.listener(raftstore.ALPN), l.Addr(), identity.ClientConfig(pin, d.certificate, nil, time.Now), controllersOnly),
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &core{Config: c, self: me, blobs: blobs, mux: mux, store: store, pin: pin}, nil
}

// controllersOnly refuses peers of the log that are not controllers.
func controllersOnly(s tls.ConnectionState) error {
	who, err := identity.PeerSubject(&s)
	if err != nil {
		return err
	}
	if who.Role != identity.RoleController {
		return fmt.Errorf("%w: %s is not a controller", identity.ErrNotTrusted, who)
	}
	return nil
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

// cluster waits until the replica holds the cluster.
func (k *core) cluster(ctx context.Context) (fleet.Cluster, error) {
	for seen := fleet.Revision(0); ; {
		if cluster, ok := k.store.State().Cluster(); ok {
			return cluster, nil
		}
		state, err := k.store.Wait(ctx, seen)
		if err != nil {
			return fleet.Cluster{}, err
		}
		seen = state.Revision()
	}
}

// open opens the parts that answer nodes and people. What it opened before an error goes with the process.
func (k *core) open(cluster fleet.Cluster) ([]part, error) {
	log, state, me := k.Logger, k.store.State, k.self.controller()
	journal := observe.New(func(m fleet.MAC) (string, bool) {
		n, ok := state().NodeByMAC(m)
		return n.Name, ok
	}, time.Now)
	gossip, err := mesh.Open(mesh.Config{
		Name: "controller/" + me.ID, Bind: netip.AddrPortFrom(me.Address, me.Ports.Gossip), Cluster: cluster.ID, Key: cluster.MeshKey,
		Meta: mesh.Meta{Role: mesh.RoleController, Swarm: me.Ports.Swarm}, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	client, err := seeder.Open(seeder.Config{Listen: netip.AddrPortFrom(me.Address, me.Ports.Swarm), MaxPeers: maxOriginPeers, Logger: log})
	if err != nil {
		return nil, err
	}
	peers := newPeerTable(func() []holder { return holders(gossip.Members()) }, func(node string) string {
		n, _ := state().Node(node)
		return n.Rack
	})
	depot := newDepot(depotConfig{Self: me, Blobs: k.blobs, Swarm: client, Log: k.store, Agent: k.Agent, Logger: log,
		Others:  func() []otherController { return nil },
		Running: func(d fleet.Digest) bool { return len(peers.members(d, time.Now())) > 0 },
		Nodes:   func(d fleet.Digest) []netip.AddrPort { return whole(peers.members(d, time.Now())) },
	})
	source := depot.origin
	tracker := seeder.NewTracker(seeder.TrackerConfig{Members: func(h seeder.Hash) []seeder.Member {
		d, ok := source.digestOf(h)
		if !ok {
			return nil
		}
		return append([]seeder.Member{source.member()}, peers.members(d, time.Now())...)
	}})
	agents := &agents{state: state, blobs: k.blobs, journal: journal, peers: peers, now: time.Now}
	machines, err := netboot.Open(netboot.Config{
		State: state, Self: me, Pin: k.pin, Token: agents.token, Observer: journal, Tracker: tracker,
		Blob:      func(d fleet.Digest) (netboot.Blob, error) { return k.blobs.Open(d) },
		LoaderDir: k.LoaderDir, Interfaces: k.Interfaces, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	h := &health{self: k.self, version: k.Version, store: k.store, blobs: k.blobs, depot: depot,
		members: func() int { return alive(gossip.Members()) }, boot: machines.Counters, started: time.Now()}
	people := api.New(api.Config{Store: store{k.store}, Images: depot.images, Observer: observer{journal}, Agents: agents, Health: h, Logger: log})
	socket, err := api.ListenSocket(k.Socket)
	if err != nil {
		return nil, err
	}
	return append(depot.parts(), []part{
		{"gossip", gossip.Run},
		{"swarm", client.Run},
		{"boot services", machines.Run},
		{"local socket", func(ctx context.Context) error { return people.Serve(ctx, socket) }},
		{"control API", func(ctx context.Context) error { return people.Serve(ctx, k.mux.listener(protoHTTP)) }},
	}...), nil
}

// maxOriginPeers bounds the origin's connections for each image: every node of a cold cluster may call at once.
const maxOriginPeers = 512
