package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Node is a machine that boots from Samara.
type Node struct {
	Name     string   `json:"name"`
	Comment  string   `json:"comment,omitempty"`
	Profiles []string `json:"profiles,omitempty"` // what its own settings are laid upon; "~" before a name drops that one: see State.Resolve
	Settings
	AssetKey string    `json:"asset_key,omitempty"` // the tag of its chassis, which the machine must show to boot as this node
	Discover time.Time `json:"discover,omitzero"`   // until when an unknown machine may claim it; ArmDiscovery sets it; not in format 1
	Revision Revision  `json:"revision,omitempty"`  // of the last change to this node
}

// Limits on what one node may hold, so that one object always fits in one command.
const (
	MaxInterfaces = 32
	MaxKernelArgs = 128
)

// check validates what can be said of n alone, without the rest of the state.
func (n Node) check() error {
	if err := CheckName("node", n.Name); err != nil {
		return err
	}
	if err := n.Settings.checkFormer("node", n.Name); err != nil {
		return err
	}
	if err := n.Settings.check(); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	if err := checkText("asset key", n.AssetKey, 128); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return checkBesides("node", n.Name, n.Comment, n.Profiles)
}

// needs returns the first format that has all that n says.
func (n Node) needs() int {
	later := n.Settings
	later.Image, later.KernelArgs, later.Rack, later.Interfaces = ImageRef{}, nil, "", nil
	more := n.Comment != "" || len(n.Profiles) > 0 || n.AssetKey != "" || !sameRows(settingsTable, &later, new(Settings))
	for _, i := range n.Interfaces {
		i.MAC, i.IP = MAC{}, netip.Addr{}
		more = more || !sameRows(interfaceTable, &i, new(Interface))
	}
	switch {
	case more:
		return 4
	case !n.Discover.IsZero():
		return 2
	}
	return 1
}

// checkKernelArgs keeps an argument one word of one line of a boot script, and keeps our own names for ourselves.
func checkKernelArgs(args []string) error {
	if len(args) > MaxKernelArgs {
		return fmt.Errorf("%w kernel arguments: %d, at most %d", ErrInvalid, len(args), MaxKernelArgs)
	}
	total := 0
	for _, a := range args {
		// What iPXE's scripts take for syntax would end or change the line that the word is put into.
		if a == "" || strings.ContainsAny(a, " \t'\"\\`$#;|&") {
			return fmt.Errorf("%w kernel argument %q: want one word without blanks, quotes, backslashes or any of $ # ; | &", ErrInvalid, a)
		}
		if err := checkText("kernel argument", a, 512); err != nil {
			return err
		}
		for _, r := range a {
			if r > '~' {
				return fmt.Errorf("%w kernel argument %q: want ASCII", ErrInvalid, a)
			}
		}
		for _, own := range []string{"samara.ctl=", "samara.ca=", "samara.boot=", "BOOTIF=", "initrd="} {
			if strings.HasPrefix(a, own) {
				return fmt.Errorf("%w kernel argument %q: Samara sets %s itself", ErrInvalid, a, own)
			}
		}
		total += len(a) + 1
	}
	// The x86 kernel's command line holds 2047 bytes (COMMAND_LINE_SIZE); ours take up to 700 of them.
	if total > 1300 {
		return fmt.Errorf("%w kernel arguments: %d characters in all, at most 1300", ErrInvalid, total)
	}
	return nil
}

// Interface returns n's interface with that MAC.
func (n Node) Interface(m MAC) (Interface, bool) {
	i := slices.IndexFunc(n.Interfaces, func(i Interface) bool { return i.MAC == m })
	if i < 0 || m == (MAC{}) {
		return Interface{}, false
	}
	return n.Interfaces[i], true
}

// clone returns a copy of n that shares nothing with it.
func (n Node) clone() Node {
	n.Profiles = slices.Clone(n.Profiles)
	n.Settings = n.Settings.clone()
	return n
}
