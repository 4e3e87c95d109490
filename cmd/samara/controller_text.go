package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet/hostlist"
	"github.com/samara-hpc/samara/internal/api"
)

// A ballot counts who votes.
type ballot struct {
	controllers int
	voters      int
	answering   int // voters that are alive
	learning    int // controllers without a vote that are alive
}

func ballotOf(all []api.ControllerView) ballot {
	b := ballot{controllers: len(all)}
	for _, v := range all {
		switch {
		case v.Role == api.RoleLeader || v.Role == api.RoleVoter:
			b.voters++
			if v.Alive {
				b.answering++
			}
		case v.Alive:
			b.learning++
		}
	}
	return b
}

// needed is how many voters must answer for a change to be taken.
func (b ballot) needed() int { return b.voters/2 + 1 }

// spare is how many voters may still fail; below 0, how many are missing.
func (b ballot) spare() int { return b.answering - b.needed() }

// String writes "2 of 3 controllers vote and answer, none may fail".
func (b ballot) String() string {
	verbs := "vote and answer"
	if b.answering == 1 {
		verbs = "votes and answers"
	}
	text := fmt.Sprintf("%d of %s %s", b.answering, count(b.controllers, "controller"), verbs)
	switch spare := b.spare(); {
	case spare < 0:
		text += fmt.Sprintf(", %d must", b.needed())
	case spare == 0:
		text += ", none may fail"
	default:
		text += fmt.Sprintf(", %d may fail", spare)
	}
	if b.learning > 0 {
		text += fmt.Sprintf("; %d without a vote", b.learning)
	}
	return text
}

// availability says why that many controllers do not outlive one of them; "" if they do.
func availability(controllers int) string {
	switch controllers {
	case 1:
		return "one controller is not highly available: while it is down nothing boots; join two more"
	case 2:
		return "two controllers are not highly available: while either is down changes are refused; join a third"
	}
	return ""
}

// lost reports whether so few voters answer that nothing can be changed.
func lost(s api.Status) bool {
	b := ballotOf(s.Controllers)
	return b.voters > 0 && b.spare() < 0
}

// writeRemarks prints what is wrong, and what the cluster would not outlive; well if there is nothing of either.
func writeRemarks(w io.Writer, s api.Status, well string) error {
	var b strings.Builder
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "problem: %s\n", printable(p.What))
		if p.Cure != "" {
			fmt.Fprintf(&b, "   cure: %s\n", printable(p.Cure))
		}
	}
	if s.HA != "" && !lost(s) {
		fmt.Fprintf(&b, "note: %s\n", printable(s.HA))
	}
	if b.Len() == 0 {
		b.WriteString(well)
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(w, "\n"+b.String())
	return err
}

// replication says how far blobs have come to every controller.
func replication(all []api.ControllerView) string {
	holding := 0
	var lacking []string
	for _, v := range all {
		switch {
		case !v.Alive:
		case v.BlobsMissing == 0:
			holding++
		default:
			lacking = append(lacking, fmt.Sprintf("%s lacks %d", v.ID, v.BlobsMissing))
		}
	}
	verb := "hold"
	if holding == 1 {
		verb = "holds"
	}
	return strings.Join(append([]string{fmt.Sprintf("%d of %s %s every blob", holding, count(len(all), "controller"), verb)}, lacking...), "; ")
}

// versions writes which controllers run which version of the program; "" if all run one.
func versions(all []api.ControllerView) string {
	who := map[string][]string{}
	for _, v := range all {
		if v.Version != "" {
			who[v.Version] = append(who[v.Version], v.ID)
		}
	}
	if len(who) < 2 {
		return ""
	}
	var parts []string
	for _, version := range slices.Sorted(maps.Keys(who)) {
		parts = append(parts, version+" on "+hostlist.Fold(who[version]))
	}
	return strings.Join(parts, ", ") + "; upgrade all of them"
}
