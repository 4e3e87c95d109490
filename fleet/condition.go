package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// A Condition is that an object is at a revision. A change on conditions is made to the state that its author saw, or
// not at all.
type Condition struct {
	Kind     string   `json:"kind"`           // node, image, network, cluster; since format 4 also profile and state
	Name     string   `json:"name,omitempty"` // none for cluster and state
	Revision Revision `json:"revision"`       // 0: there must be no such object
}

// conditionState is the kind of a condition on all of the configuration: nobody has changed any of it since that revision.
const conditionState = "state"

// named reports whether the objects of that kind have names.
func (c Condition) named() bool { return c.Kind != ObjectCluster && c.Kind != conditionState }

// since returns the first format that has c.
func (c Condition) since() int {
	if c.Kind == ObjectProfile || c.Kind == conditionState {
		return 4
	}
	return 2
}

// ParseCondition reads "KIND/NAME@REVISION", "cluster@REVISION" or "state@REVISION".
func ParseCondition(s string) (Condition, error) {
	object, number, found := strings.Cut(s, "@")
	kind, name, named := strings.Cut(object, "/")
	rev, err := strconv.ParseUint(number, 10, 64)
	c := Condition{kind, name, Revision(rev)}
	if !found || err != nil || strconv.FormatUint(rev, 10) != number || named != c.named() {
		return Condition{}, fmt.Errorf("%w condition %.100q: want KIND/NAME@REVISION, cluster@REVISION or state@REVISION, KIND being node, profile, image or network", ErrInvalid, s)
	}
	return c, c.check()
}

// String returns the form that ParseCondition reads.
func (c Condition) String() string {
	return c.object("/") + "@" + strconv.FormatUint(uint64(c.Revision), 10)
}

// object names what c is about.
func (c Condition) object(between string) string {
	if c.Name == "" {
		return c.Kind
	}
	return c.Kind + between + c.Name
}

func (c Condition) check() error {
	switch c.Kind {
	case "node", "image", "network":
		return CheckName(c.Kind, c.Name)
	case ObjectProfile:
		return CheckLabel(c.Kind, c.Name)
	case ObjectCluster, conditionState:
		if c.Name != "" {
			return fmt.Errorf("%w condition: the %s has no name there: want %s@REVISION", ErrInvalid, c.Kind, c.Kind)
		}
		return nil
	}
	return fmt.Errorf("%w condition on a %.40q: want node, profile, image, network, cluster or state", ErrInvalid, c.Kind)
}

// holds reports why c is not met. The error wraps ErrConflict, or ErrInvalid if no state can meet c.
func (s State) holds(c Condition) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Kind == conditionState {
		if last := s.history.lastEdit(); last > c.Revision {
			return fmt.Errorf("configuration %w: somebody changed it at revision %d, after revision %d; look at it again", ErrConflict, last, c.Revision)
		}
		return nil
	}
	var now Revision
	switch c.Kind {
	case "node":
		n, _ := s.Node(c.Name)
		now = n.Revision
	case ObjectProfile:
		p, _ := s.Profile(c.Name)
		now = p.Revision
	case "image":
		i, _ := s.Image(c.Name)
		now = i.Revision
	case "network":
		n, _ := s.Network(c.Name)
		now = n.Revision
	case "cluster":
		cl, _ := s.Cluster()
		now = cl.Revision
	}
	switch {
	case now == c.Revision:
		return nil
	case now == 0:
		return fmt.Errorf("%s %w: it no longer exists; it was to be at revision %d", c.object(" "), ErrConflict, c.Revision)
	case c.Revision == 0:
		return fmt.Errorf("%s %w: it exists, at revision %d, and was not to", c.object(" "), ErrConflict, now)
	}
	return fmt.Errorf("%s %w: it is at revision %d, not %d; look at it again", c.object(" "), ErrConflict, now, c.Revision)
}
