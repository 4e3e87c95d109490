package api

import (
	"fmt"
	"strings"
)

// availability returns how many controllers have a vote, and why the cluster would not outlive the loss of another one;
// "" if it would, or if nothing is known of the controllers.
func availability(all []ControllerView) (voters int, why string) {
	var down []string
	waiting := 0
	for _, c := range all {
		switch {
		case c.Role != RoleLeader && c.Role != RoleVoter:
			waiting++
		case !c.Alive:
			down = append(down, c.ID)
			fallthrough
		default:
			voters++
		}
	}
	spare := (voters - 1) / 2
	const still = "known nodes still boot from any controller that is left"
	switch {
	case voters == 0:
		return 0, ""
	case len(down) > spare:
		return voters, fmt.Sprintf("%s down, %d of %d votes left: nothing can be changed; %s", isAre(down), voters-len(down), voters, still)
	case voters == 1:
		why = "one controller alone: while it is down nothing can be changed and no machine boots"
	case voters == 2:
		why = "two controllers are not high availability: if either is down nothing can be changed; " + still
	case len(down) == spare:
		return voters, fmt.Sprintf("%s down: if one more of %d goes down nothing can be changed; %s", isAre(down), voters, still)
	default:
		return voters, ""
	}
	if waiting > 0 {
		return voters, why + fmt.Sprintf("; %d more will have a vote once caught up", waiting)
	}
	return voters, why + "; samara controller token lets another join, and three outlive the loss of any one"
}

// isAre joins names with the verb that fits them.
func isAre(names []string) string {
	verb := " is"
	if len(names) > 1 {
		verb = " are"
	}
	return strings.Join(names, ", ") + verb
}
