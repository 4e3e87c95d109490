package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits on images.
const (
	MaxImageVersions = 100 // of one image, kept at a time
	MaxHolders       = 64  // that a publication may name; some may have left the cluster by now
)

// AddImageVersion adds a version to an image, creating the image with its first. The version's number is chosen as
// it is applied.
type AddImageVersion struct {
	Image   string       `json:"image"`
	Version ImageVersion `json:"version"`
	Holders []string     `json:"holders,omitempty"` // ids of the controllers that hold all its blobs; not in format 1
}

// Kind implements Command.
func (AddImageVersion) Kind() string { return "image.add" }

func (c AddImageVersion) needs() int { return needsHolders(c.Holders) }

func (c AddImageVersion) reduced() Command {
	c.Holders = nil
	return c
}

func (c AddImageVersion) apply(s State, a applied) (State, error) {
	if err := CheckName("image", c.Image); err != nil {
		return s, err
	}
	if err := c.Version.check(); err != nil {
		return s, fmt.Errorf("image %s: %w", c.Image, err)
	}
	if err := s.checkHolders("image "+c.Image, c.Holders); err != nil {
		return s, err
	}
	img, ok := s.Image(c.Image)
	if !ok {
		img = Image{Name: c.Image, Next: 1}
	}
	if len(img.Versions) >= MaxImageVersions {
		return s, fmt.Errorf("%w image %s: it has %d versions; delete some first", ErrInvalid, c.Image, len(img.Versions))
	}
	v := c.Version
	v.Number = img.Next
	v.Imported = v.Imported.UTC()
	img.Next++
	img.Versions = append(slices.Clone(img.Versions), v)
	img.Revision = a.rev
	s.images = s.images.put([]byte(img.Name), img)
	return s, nil
}

// SetInitramfs replaces what a version boots with, after the agent was upgraded.
type SetInitramfs struct {
	Image     string   `json:"image"`
	Version   int      `json:"version"`
	Initramfs Blob     `json:"initramfs"`
	Agent     Digest   `json:"agent"`
	Holders   []string `json:"holders,omitempty"` // ids of the controllers that hold Initramfs; not in format 1
}

// Kind implements Command.
func (SetInitramfs) Kind() string { return "image.initramfs" }

func (c SetInitramfs) needs() int { return needsHolders(c.Holders) }

func (c SetInitramfs) reduced() Command {
	c.Holders = nil
	return c
}

func (c SetInitramfs) apply(s State, a applied) (State, error) {
	if err := c.Initramfs.check("initramfs"); err != nil {
		return s, err
	}
	img, ok := s.Image(c.Image)
	if !ok {
		return s, fmt.Errorf("image %q: %w", c.Image, ErrNotFound)
	}
	at := slices.IndexFunc(img.Versions, func(v ImageVersion) bool { return v.Number == c.Version })
	if at < 0 {
		return s, fmt.Errorf("image %q: version %d: %w", c.Image, c.Version, ErrNotFound)
	}
	if err := s.checkHolders("initramfs of image "+c.Image, c.Holders); err != nil {
		return s, err
	}
	img.Versions = slices.Clone(img.Versions)
	img.Versions[at].Initramfs = c.Initramfs
	img.Versions[at].Agent = c.Agent
	img.Revision = a.rev
	s.images = s.images.put([]byte(img.Name), img)
	return s, nil
}

func needsHolders(holders []string) int {
	if len(holders) > 0 {
		return 2
	}
	return 1
}

// checkHolders reports why blobs cannot be published that these controllers hold: since format 2 a majority must, so
// that they survive what the state survives.
func (s State) checkHolders(what string, holders []string) error {
	if s.Format() < 2 {
		return nil
	}
	if len(holders) > MaxHolders {
		return fmt.Errorf("%w publication of %s: %d holders, at most %d", ErrInvalid, what, len(holders), MaxHolders)
	}
	held, all := 0, s.cluster.Controllers
	for _, ctl := range all {
		if slices.Contains(holders, ctl.ID) {
			held++
		}
	}
	if held <= len(all)/2 {
		return fmt.Errorf("%w publication of %s: %d of %d controllers hold its blobs, %d must; samara controller list shows which are away", ErrInvalid, what, held, len(all), len(all)/2+1)
	}
	return nil
}

// DeleteImage removes an image, or one version of it if Version is not 0. An image goes with its last version.
type DeleteImage struct {
	Image   string `json:"image"`
	Version int    `json:"version,omitempty"`
}

// Kind implements Command.
func (DeleteImage) Kind() string { return "image.delete" }

func (c DeleteImage) apply(s State, a applied) (State, error) {
	img, _, err := s.ImageVersion(ImageRef{c.Image, c.Version})
	if err != nil {
		return s, err
	}
	left := slices.DeleteFunc(slices.Clone(img.Versions), func(v ImageVersion) bool { return c.Version == 0 || v.Number == c.Version })
	uses := func(ref ImageRef) bool {
		return ref.Name == c.Image && (len(left) == 0 || ref.Version == c.Version)
	}
	var profiles []string
	users := s.nodesWhere(func(n Node) bool { return uses(n.Image) })
	if len(users) > 0 {
		return s, fmt.Errorf("image %s: %w by %s", ImageRef{c.Image, c.Version}, ErrInUse, s.nameUsers(users))
	}
	for p := range s.Profiles() {
		if uses(p.Image) {
			profiles = append(profiles, p.Name)
		}
	}
	if len(profiles) > 0 {
		return s, fmt.Errorf("image %s: %w by %s", ImageRef{c.Image, c.Version}, ErrInUse, foldSome("profile", profiles))
	}
	if len(left) == 0 {
		s.images = s.images.drop([]byte(c.Image))
		return s, nil
	}
	img.Versions = left
	img.Revision = a.rev
	s.images = s.images.put([]byte(img.Name), img)
	return s, nil
}

// numbers lists the versions of an image for a message.
func (i Image) numbers() string {
	out := make([]string, len(i.Versions))
	for at, v := range i.Versions {
		out[at] = strconv.Itoa(v.Number)
	}
	return strings.Join(out, ", ")
}

// nodesWhere returns the names of the nodes for which keep is true, in order.
func (s State) nodesWhere(keep func(Node) bool) []string {
	var names []string
	for n := range s.Nodes() {
		if keep(n) {
			names = append(names, n.Name)
		}
	}
	return names
}

// nameSome names at most five of names, and how many more there are.
func nameSome(names []string) string {
	if len(names) <= 5 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
}
