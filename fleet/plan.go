package fleet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// A BootPlan is everything needed to boot one node from one of its interfaces at one revision. Controllers at the
// same revision compute the same plan.
type BootPlan struct {
	Revision  Revision     `json:"revision"`
	Node      Node         `json:"node"` // with what its profiles say
	Interface Interface    `json:"interface"`
	Network   Network      `json:"network"`
	Image     string       `json:"image"`
	Version   ImageVersion `json:"version"`
}

// Plan returns how the machine with that MAC boots. The error is ErrUnknown if no node has the MAC; otherwise it says
// what the node lacks and which command gives it.
func (s State) Plan(m MAC) (BootPlan, error) {
	n, i, network, err := s.Reservation(m)
	if err != nil {
		return BootPlan{}, err
	}
	if n.Image.IsZero() {
		return BootPlan{}, fmt.Errorf("node %s: image %w: it has none; samara node set %s --image NAME", n.Name, ErrNotFound, n.Name)
	}
	img, v, err := s.ImageVersion(n.Image)
	if err != nil {
		return BootPlan{}, fmt.Errorf("node %s: %w", n.Name, err)
	}
	return BootPlan{Revision: s.rev, Node: n, Interface: i, Network: network, Image: img.Name, Version: v}, nil
}

// Reservation returns the node with what its profiles say, its interface and the network of the machine with that MAC,
// image or no image. The error is ErrUnknown if no node has the MAC.
func (s State) Reservation(m MAC) (Node, Interface, Network, error) {
	n, ok := s.NodeByMAC(m)
	if !ok {
		return Node{}, Interface{}, Network{}, fmt.Errorf("%w %s; samara node unknown lists such machines", ErrUnknown, m)
	}
	n = s.resolve(n)
	i, _ := n.Interface(m)
	if !i.IP.IsValid() {
		return Node{}, Interface{}, Network{}, fmt.Errorf("node %s: address of interface %s: %w; samara node set %s --ip ADDRESS", n.Name, i.Name, ErrNotFound, n.Name)
	}
	network, ok := s.NetworkOf(i.IP)
	if !ok {
		return Node{}, Interface{}, Network{}, fmt.Errorf("node %s: network of address %s: %w", n.Name, i.IP, ErrNotFound)
	}
	return n, i, network, nil
}

// MachineID returns the machine-id(5) of a node: 32 hexadecimal digits that stay the same at each boot and tell
// nothing of the cluster.
func (c Cluster) MachineID(node string) string {
	mac := hmac.New(sha256.New, c.IDKey)
	mac.Write([]byte("machine-id\x00" + node))
	id := mac.Sum(nil)[:16]
	// The form of a random UUID (RFC 9562, 5.4), which machine-id(5) asks of ids that are to pass as UUIDs.
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id)
}
