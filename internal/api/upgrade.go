package api

import (
	"errors"
	"fmt"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// heldBack adds to the refusal of what an upgrade has not reached yet which controllers hold it back. Other errors it
// returns as they are.
func (s *Server) heldBack(err error) error {
	if !errors.Is(err, fleet.ErrFormat) || s.Controllers == nil {
		return err
	}
	var by []string
	for _, c := range s.Controllers.List() {
		switch {
		case c.Format >= fleet.Format && c.Alive:
		case c.Format >= fleet.Format:
			by = append(by, c.ID+" is down: start it, or remove it from the cluster")
		case c.Version == "":
			by = append(by, c.ID+" was not heard of: start it, or remove it from the cluster")
		default:
			by = append(by, c.ID+" runs samara "+c.Version+": upgrade it")
		}
	}
	if len(by) == 0 {
		return fmt.Errorf("%w; by now every controller is new enough: try again in some seconds", err)
	}
	return fmt.Errorf("%w; what holds it back: %s", err, strings.Join(by, ", "))
}
