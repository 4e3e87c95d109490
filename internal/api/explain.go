package api

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// An Explanation says how a node would boot if it asked now, as the state has it: nothing is tried. A note says what holds
// up a machine that does ask.
type Explanation struct {
	Node      string         `json:"node"`
	Revision  fleet.Revision `json:"revision"`
	Boots     bool           `json:"boots"`     // by one of its interfaces at least
	Obstacles []string       `json:"obstacles"` // why not, and what to do; of one interface, if it boots by another
	Notes     []string       `json:"notes"`     // what holds and may surprise

	Interfaces []BootInterface    `json:"interfaces"`      // that it may boot by, in the order of its interfaces
	Image      *BootImage         `json:"image,omitempty"` // what it runs; none if there is no such thing
	Arguments  []string           `json:"arguments"`       // of the kernel, its own; those of Samara stand before them
	Settings   []fleet.Provenance `json:"settings"`        // what of the configuration makes it so, and who says it
	Armed      string             `json:"armed,omitempty"` // which machine may become it, and until when; "" if none
}

// A BootInterface is what a machine hears that asks from one interface of a node.
type BootInterface struct {
	Name    string     `json:"name"`
	MAC     fleet.MAC  `json:"mac,omitzero"`
	IP      netip.Addr `json:"ip,omitzero"`
	Network string     `json:"network,omitempty"`
	Answer  string     `json:"answer,omitempty"`  // to its DHCP request, in words
	Scripts []string   `json:"scripts,omitempty"` // URLs of its boot script, one for each controller, the one that answers DHCP first
	Boots   bool       `json:"boots"`
}

// A BootImage is the image version that a node boots.
type BootImage struct {
	Name          string       `json:"name"`
	Version       int          `json:"version"`
	Latest        bool         `json:"latest"` // whether the node is told no version, and takes the newest
	KernelRelease string       `json:"kernel_release"`
	Arch          string       `json:"arch"`
	Kernel        fleet.Digest `json:"kernel"`
	Initramfs     fleet.Digest `json:"initramfs"`
	Root          fleet.Blob   `json:"root"`
}

func (s *Server) explain(_ context.Context, r *request, _ none) (Explanation, error) {
	n, err := r.node()
	if err != nil {
		return Explanation{}, err
	}
	if n, err = r.state.Resolve(n.Name); err != nil {
		return Explanation{}, err
	}
	why, err := r.state.Why(n.Name)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Node: n.Name, Revision: r.revision, Obstacles: []string{}, Notes: []string{}, Interfaces: []BootInterface{},
		Arguments: append([]string{}, n.KernelArgs...), Settings: bootSettings(why)}
	for _, i := range n.Interfaces {
		e.addInterface(r.state, n, i)
	}
	if !e.Boots && len(e.Obstacles) == 0 {
		e.Obstacles = append(e.Obstacles, fmt.Sprintf("node %s has no interface with a MAC and an address; samara node set %s --mac MAC --ip ADDRESS", n.Name, n.Name))
	}
	if s.Now().Before(n.Discover) {
		e.Armed = fmt.Sprintf("an unknown machine that asks from the network of one of its addresses becomes it, until %s", n.Discover.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if img, v, err := r.state.ImageVersion(n.Image); err == nil && !n.Image.IsZero() {
		e.Image = &BootImage{Name: img.Name, Version: v.Number, Latest: n.Image.Version == 0, KernelRelease: v.KernelRelease, Arch: v.Arch,
			Kernel: v.Kernel.Digest, Initramfs: v.Initramfs.Digest, Root: v.Root}
	}
	e.addNotes(n)
	if b, seen := s.Observer.Latest()[n.Name]; seen {
		e.addFailure(viewNode(n, b, seen, s.Now()))
	}
	slices.Sort(e.Obstacles)
	e.Obstacles = slices.Compact(e.Obstacles)
	return e, nil
}

// addInterface says what a machine hears that has the MAC of i.
func (e *Explanation) addInterface(state fleet.State, n fleet.Node, i fleet.Interface) {
	port := BootInterface{Name: i.Name, MAC: i.MAC, IP: i.IP}
	defer func() { e.Interfaces = append(e.Interfaces, port) }()
	obstacle := func(format string, args ...any) { e.Obstacles = append(e.Obstacles, fmt.Sprintf(format, args...)) }
	if network, ok := state.NetworkOf(i.IP); ok {
		port.Network = network.Name
	}
	if i.MAC == (fleet.MAC{}) {
		if i.IP.IsValid() { // one of no address is not meant to boot
			obstacle("interface %s has no MAC, so that no machine is known to be the node; samara node set %s --mac MAC, or samara node discover %s", i.Name, n.Name, n.Name)
		}
		return
	}
	_, _, network, err := state.Reservation(i.MAC)
	if err != nil {
		obstacle("%s", err)
		return
	}
	if network.DHCP == fleet.DHCPOff {
		port.Answer = fmt.Sprintf("none: DHCP is off on network %s", network.Name)
		obstacle("%s; samara network set %s --dhcp full, or proxy beside another server", strings.TrimPrefix(port.Answer, "none: "), network.Name)
		return
	}
	port.Answer = answerWords(network, i)
	cluster, _ := state.Cluster()
	for _, c := range fleet.Order(i.MAC, cluster.Controllers) {
		port.Scripts = append(port.Scripts, fmt.Sprintf("http://%s/boot/%s", netip.AddrPortFrom(c.Address, c.Ports.Boot), i.MAC))
	}
	if _, err := state.Plan(i.MAC); err != nil {
		obstacle("%s", err)
		return
	}
	port.Boots, e.Boots = true, true
}

// answerWords says what is answered to a DHCP request from i.
func answerWords(network fleet.Network, i fleet.Interface) string {
	if network.DHCP == fleet.DHCPProxy {
		return fmt.Sprintf("what to boot: the loader for its firmware, then the script; another server on network %s gives the address, which must be %s", network.Name, i.IP)
	}
	words := fmt.Sprintf("address %s/%d", i.IP, network.Subnet.Bits())
	if network.Gateway.IsValid() {
		words += ", router " + network.Gateway.String()
	}
	for at, dns := range network.DNS {
		words += []string{", DNS ", " and "}[min(at, 1)] + dns.String()
	}
	if network.Domain != "" {
		words += ", domain " + network.Domain
	}
	return words + ", and what to boot: the loader for its firmware, then the script"
}

// addNotes says what a reader of the configuration may expect otherwise.
func (e *Explanation) addNotes(n fleet.Node) {
	note := func(format string, args ...any) { e.Notes = append(e.Notes, fmt.Sprintf(format, args...)) }
	if e.Image != nil && n.KernelVersion != "" && n.KernelVersion != e.Image.KernelRelease {
		note("kernel_version is %s, and the image boots with %s: it is the one kernel that an import takes from an image", n.KernelVersion, e.Image.KernelRelease)
	}
	if len(n.SystemOverlays)+len(n.RuntimeOverlays) > 0 {
		note("overlays are kept in the configuration, and are not laid over images by this release")
	}
	if n.Root != "" && n.Root != fleet.RootOverlay {
		note("root %s is kept in the configuration; this release lays a tmpfs over the image, which stays one file in RAM", n.Root)
	}
	if n.Reseed == fleet.ReseedRollout {
		note("reseed %s is as good as %s: this release has no rollouts", fleet.ReseedRollout, fleet.ReseedAlways)
	}
	if init := initArgument(n.KernelArgs); n.Init != "" && init != "" && init != n.Init {
		note("init is %s, and the kernel argument init=%s says otherwise: the argument counts", n.Init, init)
	}
	if n.AssetKey != "" {
		note("a machine that asks for the script must show the asset key as the asset tag of its chassis; samara node unset %s --asset lets any with the MAC boot", n.Name)
	}
}

// initArgument returns what init= names in kernel arguments, of which the last counts; "" if none does.
func initArgument(args []string) (init string) {
	for _, a := range args {
		if path, ok := strings.CutPrefix(a, "init="); ok {
			init = path
		}
	}
	return init
}

// addFailure says what holds up the machine that boots as the node now, which the state cannot tell.
func (e *Explanation) addFailure(v NodeView) {
	if v.State == StateFailing {
		e.Notes = append(e.Notes, "its machine tried, and is held up: "+v.Failure)
	}
}

// bootSettings returns what of a node's provenance a boot depends on.
func bootSettings(why []fleet.Provenance) []fleet.Provenance {
	heads := []string{"profiles", "image", "kernel_version", "kernel_args", "init", "root", "system_overlays", "runtime_overlays", "primary_network", "asset_key", "discover"}
	out := []fleet.Provenance{}
	for _, p := range why {
		head, _, _ := strings.Cut(p.Field, ".")
		if slices.Contains(heads, head) || head == "interfaces" {
			out = append(out, p)
		}
	}
	return out
}
