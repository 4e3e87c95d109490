package controller

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/raftstore"
)

// lonelyStream is the stream of a controller that nobody speaks to.
func lonelyStream(t *testing.T, me self) *raftstore.Stream {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return raftstore.NewStream(l, net.TCPAddrFromAddrPort(netip.AddrPortFrom(me.Address, me.Ports.Control)), &tls.Config{},
		func(tls.ConnectionState) error { return errors.New("no peer is expected") })
}

func TestCertificatesAreRenewedInTime(t *testing.T) {
	t.Parallel()
	d, state, _ := initialised(t)
	me, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r := &renewal{dir: d, self: me, state: func() fleet.State { return state }, authority: (&keyring{dir: d}).authority,
		logger: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}
	until := func() time.Time {
		t.Helper()
		c, err := d.certificate()
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.NotAfter
	}
	first := until()
	r.look()
	if got := until(); !got.Equal(first) {
		t.Errorf("a fresh certificate was renewed: valid until %s, then %s", first, got)
	}
	now = now.Add(identity.ControllerLife * 3 / 4)
	r.look()
	if got := until(); !got.After(first) {
		t.Errorf("after three quarters of its life it is valid until %s, as before", got)
	}
	if _, err := os.Stat(d.path("keys", "controller.crt.new")); err == nil {
		t.Error("a temporary file was left")
	}
}

func TestTheAuthoritysKeyIsSealed(t *testing.T) {
	t.Parallel()
	d, state, _ := initialised(t)
	cluster, _ := state.Cluster()
	if !identity.IsSealed(cluster.CAKey) {
		t.Error("the state holds the authority's key in the clear")
	}
	if _, err := (&keyring{dir: d}).authority(cluster); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(d.path("keys", "seal.key"), identity.NewSealKey(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&keyring{dir: d}).authority(cluster); !errors.Is(err, identity.ErrSealed) {
		t.Errorf("with another seal key: got %v, want %v", err, identity.ErrSealed)
	}
}
