package fleet

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
)

// A Cluster is what holds for all nodes and controllers.
type Cluster struct {
	Name           string       `json:"name"`
	ID             string       `json:"id"`        // random, so that two clusters never mistake each other
	CA             []byte       `json:"ca"`        // PEM: the certificate that vouches for every controller, node and user
	CAKey          Secret       `json:"ca_key"`    // as SealCAKey left it; before that, PEM
	MeshKey        Secret       `json:"mesh_key"`  // 32 bytes: encrypts gossip
	TokenKey       Secret       `json:"token_key"` // 32 bytes: seals boot tokens
	IDKey          Secret       `json:"id_key"`    // 32 bytes: machine ids are derived from it
	AuthorizedKeys []string     `json:"authorized_keys,omitempty"`
	Controllers    []Controller `json:"controllers"`      // in the order they joined
	Seeding        Seeding      `json:"seeding,omitzero"` // not before format 3
	Format         int          `json:"format,omitempty"` // that every controller is known to understand; 0 means 1
	Revision       Revision     `json:"revision,omitempty"`
}

// A Controller is a head node that runs samara serve.
type Controller struct {
	ID      string     `json:"id"`
	Address netip.Addr `json:"address"` // where nodes and other controllers reach it
	Ports   Ports      `json:"ports"`
	Key     Digest     `json:"key,omitzero"` // SHA-256 of its public key (SubjectPublicKeyInfo in DER); not in format 1
}

// Ports are the TCP ports of a controller that are not fixed by a protocol. Gossip uses UDP and TCP.
type Ports struct {
	Control uint16 `json:"control"` // TLS: Raft, agents, people
	Boot    uint16 `json:"boot"`    // plain HTTP: scripts, kernels, initramfs, tracker
	Swarm   uint16 `json:"swarm"`   // BitTorrent
	Gossip  uint16 `json:"gossip"`
}

// DefaultPorts are used where nothing else is asked for.
var DefaultPorts = Ports{Control: 7600, Boot: 7601, Swarm: 7602, Gossip: 7603}

// MaxAuthorizedKeys bounds the keys that a node's root account accepts.
const MaxAuthorizedKeys = 256

// A Secret is bytes that are never printed or logged. It is encoded only into the replicated log, snapshots, and the
// answer to the one peer it is for.
type Secret []byte

const redacted = "(secret)"

// String hides the bytes.
func (s Secret) String() string { return redacted }

// GoString hides the bytes.
func (s Secret) GoString() string { return redacted }

// Format hides the bytes, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue hides the bytes.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes base64, as for a []byte.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal([]byte(s)) }

func (c Cluster) check() error {
	if err := CheckName("cluster", c.Name); err != nil {
		return err
	}
	if c.ID == "" || len(c.CA) == 0 || len(c.CAKey) == 0 {
		return fmt.Errorf("%w cluster %s: without an id, a CA certificate or its key", ErrInvalid, c.Name)
	}
	for _, k := range [...]struct {
		what string
		key  Secret
	}{{"mesh", c.MeshKey}, {"token", c.TokenKey}, {"id", c.IDKey}} {
		if len(k.key) != 32 {
			return fmt.Errorf("%w cluster %s: the %s key has %d bytes, want 32", ErrInvalid, c.Name, k.what, len(k.key))
		}
	}
	if c.Format < 0 || c.Format > Format {
		return fmt.Errorf("%w cluster %s: format %d, want 1 to %d", ErrInvalid, c.Name, c.Format, Format)
	}
	if err := c.checkControllers(); err != nil {
		return err
	}
	if err := c.Seeding.check(); err != nil {
		return err
	}
	return checkAuthorizedKeys(c.AuthorizedKeys)
}

// checkControllers validates the controllers, each alone and beside the others.
func (c Cluster) checkControllers() error {
	if len(c.Controllers) == 0 {
		return fmt.Errorf("%w cluster %s: no controller", ErrInvalid, c.Name)
	}
	for _, ctl := range c.Controllers {
		if err := ctl.check(); err != nil {
			return err
		}
	}
	if c.Format < 2 {
		return nil // format 1 asked for no more, and its logs must be read as they were
	}
	if len(c.Controllers) > MaxControllers {
		return fmt.Errorf("%w cluster %s: %d controllers, at most %d", ErrInvalid, c.Name, len(c.Controllers), MaxControllers)
	}
	for at, ctl := range c.Controllers {
		for _, other := range c.Controllers[:at] {
			if ctl.ID == other.ID || ctl.Address == other.Address {
				return fmt.Errorf("%w cluster %s: controllers %s and %s have one name or address", ErrInvalid, c.Name, other.ID, ctl.ID)
			}
		}
	}
	return nil
}

func (c Controller) check() error {
	if err := CheckName("controller", c.ID); err != nil {
		return err
	}
	if !c.Address.Is4() || c.Address.IsUnspecified() || c.Address.IsMulticast() {
		return fmt.Errorf("%w address %s of controller %s: want the IPv4 address where nodes reach it", ErrInvalid, c.Address, c.ID)
	}
	for _, p := range [...]struct {
		what string
		port uint16
	}{{"control", c.Ports.Control}, {"boot", c.Ports.Boot}, {"swarm", c.Ports.Swarm}, {"gossip", c.Ports.Gossip}} {
		if p.port == 0 {
			return fmt.Errorf("%w %s port 0 of controller %s", ErrInvalid, p.what, c.ID)
		}
	}
	return nil
}

// checkAuthorizedKeys keeps each key one line of sshd's AuthorizedKeysFile. Whether sshd knows its type is sshd's to say.
func checkAuthorizedKeys(keys []string) error {
	if len(keys) > MaxAuthorizedKeys {
		return fmt.Errorf("%w authorized keys: %d, at most %d", ErrInvalid, len(keys), MaxAuthorizedKeys)
	}
	for _, k := range keys {
		if err := checkText("authorized key", k, 8192); err != nil {
			return err
		}
		if len(strings.Fields(k)) < 2 {
			return fmt.Errorf("%w authorized key %q: want a line like \"ssh-ed25519 AAAA… comment\"", ErrInvalid, k)
		}
	}
	return nil
}

// NodePorts returns the ports that nodes use for themselves: those of the swarm and of gossip, as the first controller
// has them.
func (c Cluster) NodePorts() Ports {
	if len(c.Controllers) == 0 {
		return Ports{}
	}
	p := c.Controllers[0].Ports
	return Ports{Swarm: p.Swarm, Gossip: p.Gossip}
}

// Controller returns the controller with that id.
func (c Cluster) Controller(id string) (Controller, bool) {
	i := slices.IndexFunc(c.Controllers, func(ctl Controller) bool { return ctl.ID == id })
	if i < 0 {
		return Controller{}, false
	}
	return c.Controllers[i], true
}
