package swarmlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/samara-hpc/samara/test/lab"
)

// shelf is where sites keep their files: a file system in RAM, as a node's image lies in RAM.
const shelf = "/dev/shm"

// A Layout is the machines of a site and the cables between them. Rates are in bytes per second and direction; 0 is no
// limit.
type Layout struct {
	Heads  int   // controllers or other origins, from 1 to 9
	Nodes  int   // at most lab.MaxNodes
	Racks  int   // that the nodes are in, in even parts; at least 1
	Link   int64 // of every head and node
	Uplink int64 // of every rack
}

// A Site is a network with heads and nodes, on which nothing runs yet.
type Site struct {
	Layout
	Network *lab.Network
	Heads   []*lab.Host
	Racks   []*lab.Rack
	Nodes   []*lab.Host
	Dir     string // for everything that has to do with the site
}

// OpenSite makes a site whose network's name begins with prefix, after what earlier processes left under it is gone. The
// links are not limited yet.
func OpenSite(prefix string, l Layout) (*Site, error) {
	if err := errors.Join(lab.Sweep(prefix), sweepShelf(prefix)); err != nil {
		return nil, err
	}
	network, err := lab.NewNetwork(lab.TestNetworkName(prefix), false)
	if err != nil {
		return nil, err
	}
	s := &Site{Layout: l, Network: network, Dir: filepath.Join(shelf, network.Name)} // short, for it holds Unix sockets
	if err = os.Mkdir(s.Dir, 0o755); err == nil {
		err = s.furnish()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// sweepShelf removes the files of sites whose process is no more.
func sweepShelf(prefix string) error {
	dirs, err := filepath.Glob(filepath.Join(shelf, prefix+"-*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		owner, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix+"-"))
		if err != nil {
			continue
		}
		if _, err := lab.FindPID(owner); errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

func (s *Site) furnish() error {
	for i := range s.Layout.Heads {
		h, err := s.Network.AddHost(i + 1)
		if err != nil {
			return err
		}
		s.Heads = append(s.Heads, h)
	}
	for i := range s.Layout.Racks {
		r, err := s.Network.AddRack(i + 1)
		if err != nil {
			return err
		}
		s.Racks = append(s.Racks, r)
	}
	for i := range s.Layout.Nodes {
		h, err := s.Racks[s.RackOf(i)].AddNode(i + 1)
		if err != nil {
			return err
		}
		s.Nodes = append(s.Nodes, h)
	}
	for _, h := range s.hosts() {
		if err := setCongestionControl(h); err != nil {
			return fmt.Errorf("%s: %w", h.ID, err)
		}
	}
	return lab.Acquaint(s.hosts())
}

// hosts returns the heads and the nodes.
func (s *Site) hosts() []*lab.Host { return slices.Concat(s.Heads, s.Nodes) }

// setCongestionControl has a host's connections yield as Reno does, which every kernel lets a namespace choose, and which
// Cubic, the default of Linux, is like on a way as short as this, whatever this machine does by itself. BBR takes the burst
// with which a limited link begins for its rate, and a tenth of all bytes is lost and sent again.
func setCongestionControl(h *lab.Host) error {
	return h.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte("reno"), 0)
	})
}

// RackOf returns the index of the rack that a node is in, both counted from 0.
func (s *Site) RackOf(node int) int { return node * s.Layout.Racks / s.Layout.Nodes }

// every returns the indices of all nodes.
func (s *Site) every() []int {
	all := make([]int, len(s.Nodes))
	for i := range all {
		all[i] = i
	}
	return all
}

// Limit puts the limits of the layout on all links.
func (s *Site) Limit() error {
	for _, h := range s.hosts() {
		if err := h.Link.Limit(s.Layout.Link); err != nil {
			return fmt.Errorf("%s: %w", h.ID, err)
		}
	}
	for _, r := range s.Racks {
		if err := r.Uplink.Limit(s.Layout.Uplink); err != nil {
			return fmt.Errorf("%s: %w", r.ID, err)
		}
	}
	return nil
}

// subdir makes a directory of the site.
func (s *Site) subdir(name string) (string, error) {
	dir := filepath.Join(s.Dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// Close ends whatever still runs on the site, and removes it with all its files.
func (s *Site) Close() error {
	return errors.Join(s.Network.Close(), os.RemoveAll(s.Dir))
}
