package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// A Condition is that an object is at a revision. A change on conditions is made to the state that its author saw, or
// not at all.
type Condition struct {
	Kind     string   `json:"kind"`           // node, image, network or cluster
	Name     string   `json:"name,omitempty"` // none for the cluster
	Revision Revision `json:"revision"`       // 0: there must be no such object
}

// ParseCondition reads "KIND/NAME@REVISION" or "cluster@REVISION".
func ParseCondition(s string) (Condition, error) {
	object, number, found := strings.Cut(s, "@")
	kind, name, named := strings.Cut(object, "/")
	rev, err := strconv.ParseUint(number, 10, 64)
	if !found || err != nil || strconv.FormatUint(rev, 10) != number || named == (kind == "cluster") {
		return Condition{}, fmt.Errorf("%w condition %.100q: want KIND/NAME@REVISION or cluster@REVISION, KIND being node, image or network", ErrInvalid, s)
	}
	c := Condition{kind, name, Revision(rev)}
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
	case "cluster":
		if c.Name != "" {
			return fmt.Errorf("%w condition: the cluster has no name there: want cluster@REVISION", ErrInvalid)
		}
		return nil
	}
	return fmt.Errorf("%w condition on a %.40q: want node, image, network or cluster", ErrInvalid, c.Kind)
}

// holds reports why c is not met. The error wraps ErrConflict, or ErrInvalid if no state can meet c.
func (s State) holds(c Condition) error {
	if err := c.check(); err != nil {
		return err
	}
	var now Revision
	switch c.Kind {
	case "node":
		n, _ := s.Node(c.Name)
		now = n.Revision
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
