package fleet

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Settings are what a node, or a profile that nodes share, says of how a machine is to be. What is not set is left to
// others to say: see State.Resolve.
type Settings struct {
	Cluster         string              `json:"cluster,omitempty"`         // the name of the cluster that the node counts itself to; a label
	Interfaces      []Interface         `json:"interfaces,omitempty"`      // each name once
	PrimaryNetwork  string              `json:"primary_network,omitempty"` // the interface that is the node's own; "": the first by name
	Image           ImageRef            `json:"image,omitzero"`
	KernelVersion   string              `json:"kernel_version,omitempty"`   // of those in the image; "": the one that the image boots with
	KernelArgs      []string            `json:"kernel_args,omitempty"`      // appended to the kernel's command line, one word each
	Init            string              `json:"init,omitempty"`             // what the node runs first in its root; "": what Linux would
	Root            RootMode            `json:"root,omitempty"`             // "": RootOverlay
	SystemOverlays  []string            `json:"system_overlays,omitempty"`  // laid over the image at boot, in this order
	RuntimeOverlays []string            `json:"runtime_overlays,omitempty"` // laid over it at boot and refreshed since, in this order
	BMC             BMC                 `json:"bmc,omitzero"`
	Tags            map[string]string   `json:"tags,omitempty"`
	Resources       map[string]Resource `json:"resources,omitempty"`
	Disks           []Disk              `json:"disks,omitempty"`        // each device once
	Filesystems     []Filesystem        `json:"filesystems,omitempty"`  // each device once
	Rack            string              `json:"rack,omitempty"`         // where it stands; peers of one rack feed each other first
	SwitchPort      string              `json:"switch_port,omitempty"`  // the port it is plugged into, as its switch names it in DHCP
	Reseed          Reseed              `json:"reseed,omitempty"`       // "": ReseedAlways
	UploadLimit     int64               `json:"upload_limit,omitempty"` // bytes per second that it sends at most once booted; 0: as Seeding says
	Group           string              `json:"group,omitempty"`        // of the rollouts that it belongs to
}

// A RootMode says what a node's root is made of. "" is RootOverlay.
type RootMode string

// The modes: overlay lays a tmpfs over the image, which stays one file in RAM; tmpfs unpacks the image into a tmpfs.
const (
	RootOverlay RootMode = "overlay"
	RootTmpfs   RootMode = "tmpfs"
)

// A Reseed says how long a node gives its image on once it has booted: one of the words below, or a duration in Go's form.
// "" is ReseedAlways. While it boots it gives on what it has, whatever it says here: others wait for that. The image stays
// where it is; the node runs from it.
type Reseed string

// The words. There are no rollouts yet: ReseedRollout is as good as ReseedAlways.
const (
	ReseedAlways  Reseed = "always"
	ReseedNever   Reseed = "never"
	ReseedRollout Reseed = "until-rollout-done"
)

// Duration returns how long a node seeds once it has booted; false if r is none but a word.
func (r Reseed) Duration() (time.Duration, bool) {
	d, err := time.ParseDuration(string(r))
	return d, err == nil
}

func (r Reseed) check() error {
	switch r {
	case "", ReseedAlways, ReseedNever, ReseedRollout:
		return nil
	}
	if d, ok := r.Duration(); !ok || d <= 0 {
		return fmt.Errorf("%w reseed policy %.80q: want always, never, until-rollout-done or a duration like 30m", ErrInvalid, string(r))
	}
	return nil
}

// clone returns a copy of s that shares nothing with it that could be modified.
func (s Settings) clone() Settings {
	s.Interfaces = slices.Clone(s.Interfaces)
	for at := range s.Interfaces {
		s.Interfaces[at] = s.Interfaces[at].clone()
	}
	s.KernelArgs = slices.Clone(s.KernelArgs)
	s.SystemOverlays = slices.Clone(s.SystemOverlays)
	s.RuntimeOverlays = slices.Clone(s.RuntimeOverlays)
	s.BMC = s.BMC.clone()
	s.Tags = maps.Clone(s.Tags)
	s.Resources = maps.Clone(s.Resources)
	s.Disks = slices.Clone(s.Disks)
	for at := range s.Disks {
		s.Disks[at] = s.Disks[at].clone()
	}
	s.Filesystems = slices.Clone(s.Filesystems)
	for at := range s.Filesystems {
		s.Filesystems[at] = s.Filesystems[at].clone()
	}
	return s
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
