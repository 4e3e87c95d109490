package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

// JoinOptions say what a further controller of a cluster is to be.
type JoinOptions struct {
	Dir        string     // of the controller; made if absent
	Address    string     // of any controller of the cluster: host, or host:port of its control port
	Token      string     // what samara controller token printed
	ID         string     // the new controller's name
	OwnAddress netip.Addr // where nodes and other controllers will reach it
	Ports      fleet.Ports
	Version    string // of this program
}

// Joined says what a machine has become.
type Joined struct {
	Cluster string     `json:"cluster"`
	ID      string     `json:"id"`
	Address netip.Addr `json:"address"`
}

// joinTimeout bounds the question to the cluster.
const joinTimeout = 30 * time.Second

// Join makes this machine a controller of a cluster that runs: it trades the token for a certificate and writes
// o.Dir. The controller takes part once it is served. What is refused changes nothing, here or there; a Join that was
// interrupted is completed by the next with the same token. The error wraps fleet.ErrExists if o.Dir holds a
// controller, identity.ErrJoinToken if the token is none, and what package api says of the cluster's answer.
func Join(ctx context.Context, o JoinOptions) (Joined, error) {
	token, err := identity.ParseJoinToken(o.Token)
	if err != nil {
		return Joined{}, err
	}
	if err := fleet.CheckName("controller", o.ID); err != nil {
		return Joined{}, err
	}
	if err := ownAddress(o.OwnAddress); err != nil {
		return Joined{}, err
	}
	d := dir(o.Dir)
	if d.initialised() {
		return Joined{}, d.errTaken()
	}
	if err := makeDir(o.Dir); err != nil {
		return Joined{}, err
	}
	unlock, err := d.lock()
	if err != nil {
		return Joined{}, err
	}
	defer unlock()
	csr, err := d.joinKey()
	if err != nil {
		return Joined{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	answer, err := api.Join(ctx, controlPortOf(o.Address), token.Pin, api.JoinRequest{
		Token: token.Word(), ID: o.ID, Address: o.OwnAddress, Ports: o.Ports, CSR: csr,
		Format: fleet.Format, Version: o.Version, Time: time.Now().UTC(),
	})
	if err != nil {
		return Joined{}, fmt.Errorf("join the cluster of %s: %w", o.Address, err)
	}
	if pin, err := identity.Pin(answer.CA); err != nil || pin != token.Pin {
		return Joined{}, fmt.Errorf("join the cluster of %s: %w: its authority is not the one that the token names", o.Address, identity.ErrNotTrusted)
	}
	if err := d.writeJoined(o, answer); err != nil {
		return Joined{}, err
	}
	return Joined{Cluster: answer.Cluster, ID: o.ID, Address: o.OwnAddress}, nil
}

// ownAddress makes sure that a controller can listen where it says that it can be reached.
func ownAddress(a netip.Addr) error {
	l, err := net.Listen("tcp4", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return fmt.Errorf("%w address %s: it is not one of this machine's (ip -4 address shows them): %w", fleet.ErrInvalid, a, err)
	}
	return l.Close()
}

// controlPortOf returns address with the default control port if it has none.
func controlPortOf(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(address, fmt.Sprint(fleet.DefaultPorts.Control))
}

// errTaken says whose controller is in d already.
func (d dir) errTaken() error {
	me, err := d.load()
	if err != nil {
		return err
	}
	return fmt.Errorf("controller in %s: %w: %s of cluster %s; to make it another one, stop samara serve and move that directory away", d, fleet.ErrExists, me.ID, me.Cluster)
}

func makeDir(path string) error {
	err := os.MkdirAll(path, 0o700)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("make the controller's directory: %w; run as root", err)
	}
	if err != nil {
		return fmt.Errorf("make the controller's directory: %w", err)
	}
	return nil
}

// joinKey returns a certificate request for the key of an interrupted Join, or for a fresh one. The key is on the
// disk before it is shown to anyone: the cluster knows it again when a lost answer is asked for once more.
func (d dir) joinKey() ([]byte, error) {
	if err := d.checkOurs(); err != nil {
		return nil, err
	}
	path := d.path("keys", "controller.key")
	b, err := os.ReadFile(path)
	if err == nil {
		key, err := identity.ParseKey(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; remove it and join with a new token", path, err)
		}
		return identity.NewRequest(key)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this controller's key: %w", err)
	}
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	if err := d.write("keys/controller.key", keyPEM, 0o600); err != nil {
		return nil, err
	}
	return identity.NewRequest(key)
}

// writeJoined completes the directory of a controller whom the cluster has taken in.
func (d dir) writeJoined(o JoinOptions, a api.JoinAnswer) error {
	// A log of another life would hold entries that the cluster knows nothing of.
	if err := os.RemoveAll(d.path("raft")); err != nil {
		return fmt.Errorf("remove an old log: %w", err)
	}
	err := errors.Join(
		d.write("keys/ca.crt", a.CA, 0o644),
		d.write("keys/seal.key", a.SealKey, 0o600),
		d.write("keys/controller.crt", a.Certificate, 0o644))
	if err != nil {
		return err
	}
	return d.writeSelf(self{ID: o.ID, Cluster: a.Cluster, ClusterID: a.ClusterID, Address: o.OwnAddress, Ports: o.Ports})
}

// writeSelf makes the directory a controller's: it is the last file that is written.
func (d dir) writeSelf(s self) error {
	me, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return d.write("controller.json", append(me, '\n'), 0o600)
}

// checkOurs refuses a directory that holds anything but what Init, Join and Restore write.
func (d dir) checkOurs() error {
	ours := []string{"keys", "admin", "raft", "blobs", "lock"}
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return fmt.Errorf("look into %s: %w", d, err)
	}
	for _, e := range entries {
		if !slices.Contains(ours, e.Name()) && !strings.HasSuffix(e.Name(), ".new") {
			return fmt.Errorf("%w directory %s: it holds %s, which is not a controller's; name an empty one with --dir", fleet.ErrInvalid, d, filepath.Base(e.Name()))
		}
	}
	return nil
}
