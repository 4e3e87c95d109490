package controller

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/blob"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/internal/observe"
)

// agents answers the programs inside nodes, from the local replica alone: a boot waits for no leader. It implements
// api.Agents.
type agents struct {
	state   func() fleet.State
	blobs   *blob.Store
	journal *observe.Journal
	peers   *peerTable
	roster  *roster

	origins   func(root fleet.Digest) []fleet.Controller // those that are alive and offer it
	authority func(fleet.Cluster) (*identity.Authority, error)
	spent     *identity.SpentTokens
	now       func() time.Time
}

// token mints what the boot script carries for one boot of plan's node.
func (a *agents) token(plan fleet.BootPlan) (bootID, token string, err error) {
	cluster, ok := a.state().Cluster()
	if !ok {
		return "", "", fmt.Errorf("boot token: cluster: %w", fleet.ErrNotFound)
	}
	bootID = identity.NewBootID()
	token, err = identity.SealToken(cluster.TokenKey, identity.BootToken{
		Node: plan.Node.Name, MAC: plan.Interface.MAC, BootID: bootID,
		Image:   fleet.ImageRef{Name: plan.Image, Version: plan.Version.Number},
		Expires: a.now().Add(identity.TokenLife),
	})
	return bootID, token, err
}

// Enroll trades a boot token for a certificate and a manifest.
func (a *agents) Enroll(_ context.Context, _ netip.AddrPort, r fleet.EnrollRequest) (fleet.EnrollAnswer, error) {
	state, now := a.state(), a.now()
	cluster, ok := state.Cluster()
	if !ok {
		return fleet.EnrollAnswer{}, fmt.Errorf("enroll: cluster: %w", fleet.ErrNotFound)
	}
	token, err := identity.OpenToken(cluster.TokenKey, r.Token, now)
	if err != nil {
		return fleet.EnrollAnswer{}, err
	}
	key, err := identity.RequestKey(r.CSR)
	if err != nil {
		return fleet.EnrollAnswer{}, fmt.Errorf("%w enrollment of %s: %w", fleet.ErrInvalid, token.Node, err)
	}
	manifest, err := a.manifest(state, cluster, token, now)
	if err != nil {
		return fleet.EnrollAnswer{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return fleet.EnrollAnswer{}, fmt.Errorf("%w enrollment of %s: %w", fleet.ErrInvalid, token.Node, err)
	}
	if err := a.spent.Spend(token, der, now); err != nil {
		return fleet.EnrollAnswer{}, err
	}
	cert, err := a.certify(cluster, token.Node, r.CSR, now)
	if err != nil {
		return fleet.EnrollAnswer{}, err
	}
	return fleet.EnrollAnswer{Certificate: cert, Manifest: manifest}, nil
}

// manifest returns what the holder of a token boots. The image is the one that the script named a kernel of, even if
// the node was given another meanwhile.
func (a *agents) manifest(state fleet.State, cluster fleet.Cluster, token identity.BootToken, now time.Time) (fleet.Manifest, error) {
	node, iface, network, err := state.Reservation(token.MAC)
	if err != nil {
		return fleet.Manifest{}, err
	}
	if node.Name != token.Node {
		return fleet.Manifest{}, fmt.Errorf("%w: MAC %s belongs to node %s now, not %s; boot the machine again", identity.ErrToken, token.MAC, node.Name, token.Node)
	}
	img, version, err := state.ImageVersion(token.Image)
	if err != nil {
		return fleet.Manifest{}, fmt.Errorf("%w: node %s: %w; boot the machine again", identity.ErrToken, node.Name, err)
	}
	info, err := readBlob(a.blobs, version.Torrent)
	if err != nil {
		return fleet.Manifest{}, fmt.Errorf("image %s: torrent: %w", token.Image, err)
	}
	return fleet.Manifest{
		Revision: state.Revision(), Cluster: cluster.Name, ClusterID: cluster.ID,
		Node: node.Name, BootID: token.BootID, MAC: iface.MAC, Rack: node.Rack,
		Address: netip.PrefixFrom(iface.IP, network.Subnet.Bits()), Gateway: network.Gateway, DNS: network.DNS, Domain: network.Domain,
		MachineID: cluster.MachineID(node.Name), AuthorizedKeys: cluster.AuthorizedKeys,
		Image: img.Name, Version: version.Number, Root: version.Root, Init: node.Init, Torrent: info,
		Controllers: cluster.Controllers, Ports: cluster.NodePorts(), Roster: a.roster.list(), Seeding: state.SeedingOf(node), Reseed: node.Reseed,
		MeshKey: meshKeyFor(state, cluster, node.Name), Time: now.UTC(),
	}, nil
}

// meshSize is how many nodes gossip: a mesh of 200 members was measured to converge within seconds, one of 1,000 within
// minutes.
const meshSize = 200

// meshKeyFor returns the gossip key for a node that is to gossip. In a larger cluster a share of the nodes does, chosen by
// the hash of their names; what the others hold, their reports say.
func meshKeyFor(state fleet.State, cluster fleet.Cluster, node string) fleet.Secret {
	nodes := state.CountNodes()
	h := sha256.Sum256([]byte(cluster.ID + "\x00" + node))
	if nodes > meshSize && binary.BigEndian.Uint64(h[:])%uint64(nodes) >= meshSize {
		return nil
	}
	return cluster.MeshKey
}

// maxSmallBlob bounds a blob that is read into memory whole.
const maxSmallBlob = fleet.MaxAgentAnswer / 2

// readBlob returns the bytes of a small blob.
func readBlob(blobs *blob.Store, b fleet.Blob) ([]byte, error) {
	if b.Size > maxSmallBlob {
		return nil, fmt.Errorf("%w blob %s: %d bytes, at most %d", fleet.ErrInvalid, b.Digest.Short(), b.Size, maxSmallBlob)
	}
	r, err := blobs.Open(b.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

// certify issues a node's certificate for the key in a request.
func (a *agents) certify(cluster fleet.Cluster, node string, csr []byte, now time.Time) ([]byte, error) {
	key, err := identity.RequestKey(csr)
	if err != nil {
		return nil, fmt.Errorf("%w certificate request of %s: %w", fleet.ErrInvalid, node, err)
	}
	authority, err := a.authority(cluster)
	if err != nil {
		return nil, err
	}
	return authority.Issue(identity.Subject{Role: identity.RoleNode, Name: node}, key, nil, now, identity.NodeLife)
}

// Renew issues a fresh certificate to a node that has one and still exists.
func (a *agents) Renew(_ context.Context, node string, r fleet.RenewRequest) (fleet.RenewAnswer, error) {
	state := a.state()
	cluster, ok := state.Cluster()
	if _, exists := state.Node(node); !exists || !ok {
		return fleet.RenewAnswer{}, fmt.Errorf("node %s: %w", node, fleet.ErrNotFound)
	}
	cert, err := a.certify(cluster, node, r.CSR, a.now())
	return fleet.RenewAnswer{Certificate: cert, Controllers: cluster.Controllers}, err
}

// Report takes note of a boot and says whom to fetch the image from.
func (a *agents) Report(_ context.Context, node string, remote netip.AddrPort, r fleet.Report) (fleet.SwarmAnswer, error) {
	state, now := a.state(), a.now()
	n, ok := state.Node(node)
	if !ok {
		return fleet.SwarmAnswer{}, fmt.Errorf("node %s: %w", node, fleet.ErrNotFound)
	}
	cluster, _ := state.Cluster()
	r.Swarm.Complaints = r.Swarm.Complaints[:min(len(r.Swarm.Complaints), fleet.MaxComplaints)]
	port := interfaceAt(n, remote.Addr().Unmap())
	a.journal.Report(node, port.MAC, r)
	a.peers.report(node, state.RackOf(n), netip.AddrPortFrom(port.IP, cluster.NodePorts().Swarm), r, now)
	choice, interval := a.peers.answer(node, r, now)
	answer := fleet.SwarmAnswer{Peers: choice.Peers, Interval: interval, Seeding: state.SeedingOf(n), Reseed: state.ReseedOf(n)}
	if choice.Origin {
		// Each node has an order of its own, and keeps it, so that the load spreads.
		for _, c := range fleet.Order(port.MAC, a.origins(r.Swarm.Blob)) {
			answer.Origin = append(answer.Origin, swarmAddress(c))
		}
	}
	if list := a.roster.list(); list.ID != r.Swarm.Roster {
		answer.Roster = &list
	}
	return answer, nil
}

// interfaceAt returns the interface that a node calls from, or else its first with an address: its peers speak to no address
// that the state does not name. A node without any is where it calls from.
func interfaceAt(n fleet.Node, from netip.Addr) fleet.Interface {
	for _, i := range n.Interfaces {
		if i.IP == from {
			return i
		}
	}
	for _, i := range n.Interfaces {
		if i.IP.IsValid() {
			return i
		}
	}
	if len(n.Interfaces) == 0 {
		return fleet.Interface{IP: from}
	}
	return fleet.Interface{MAC: n.Interfaces[0].MAC, IP: from}
}
