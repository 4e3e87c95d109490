package raftstore

import (
	"strings"
	"testing"
)

// parsePicture reads "c1 c2 c3+c4 | c1* c2 c3! c4~": the controllers that the state lists, then those of Raft's
// configuration with marks: * leads, ? learns, ?+ learns and has been up to date for long enough, ! is dead, ~ has not
// answered lately, ^ answers but is not up to date. "c2@x" is c2 at address x instead of its own name.
func parsePicture(text string) picture {
	parse := func(word string) (site, string) {
		name := strings.TrimRight(word, "*?+!~^")
		marks := word[len(name):]
		id, address, moved := strings.Cut(name, "@")
		if !moved {
			address = id
		}
		return site{id, address}, marks
	}
	state, raft, _ := strings.Cut(text, "|")
	var p picture
	for _, word := range strings.Fields(state) {
		s, _ := parse(word)
		p.wanted = append(p.wanted, s)
	}
	for _, word := range strings.Fields(raft) {
		s, marks := parse(word)
		has := func(mark string) bool { return strings.Contains(marks, mark) }
		alive := !has("!") && !has("~")
		if has("*") {
			p.self = s.id
		}
		p.given = append(p.given, server{
			site: s, voter: !has("?"), alive: alive, dead: has("!"), current: alive && !has("^"), steady: alive && (!has("?") || has("+")),
		})
	}
	return p
}

func TestPlanMakesRaftFollowTheState(t *testing.T) {
	for phrase, c := range map[string]struct{ given, want string }{
		"an empty state says nothing":                       {" | c1* c2 c3?+", ""},
		"a single controller":                               {"c1 | c1*", ""},
		"all as wanted":                                     {"c1 c2 c3 | c1* c2 c3", ""},
		"one joins":                                         {"c1 c2 | c1*", "add a learner c2"},
		"two join, one at a time":                           {"c1 c2 c3 | c1* c2?", "add a learner c3"},
		"one joins while another is dead":                   {"c1 c2 c3 c4 | c1* c2 c3!", "add a learner c4"},
		"one joins while another is silent":                 {"c1 c2 c3 c4 | c1* c2 c3~", "add a learner c4"},
		"one joins at the address of one to be removed":     {"c1 c2 c4@c3 | c1* c2 c3", "remove c3"},
		"one joins at an address that cannot be freed yet":  {"c1 c2 c4@c3 | c1* c2~ c3", ""},
		"a learner is not up to date for long enough":       {"c1 c2 | c1* c2?", ""},
		"a learner is":                                      {"c1 c2 | c1* c2?+", "give a vote c2"},
		"a learner is, while another is added":              {"c1 c2 c3 | c1* c2?+", "add a learner c3"},
		"a learner is, but at another address":              {"c1 c2@new | c1* c2?+", "change the address c2@new"},
		"a learner is dead":                                 {"c1 c2 | c1* c2?!", ""},
		"a learner was removed":                             {"c1 | c1* c2?", "remove c2"},
		"a dead learner was removed":                        {"c1 c3 | c1* c2?! c3", "remove c2"},
		"a follower was removed":                            {"c1 c2 | c1* c2 c3", "remove c3"},
		"a follower of two was removed":                     {"c1 | c1* c2", "remove c2"},
		"two were removed, the silent one goes first":       {"c1 c2 c3 | c1* c2 c3 c4 c5~", "remove c5"},
		"a dead one was removed":                            {"c1 c2 | c1* c2 c3!", "remove c3"},
		"one that Raft knows and the state never did":       {"c1 c2 c3 | c1* c2 c3 stranger", "remove stranger"},
		"one was removed, but the rest needs it":            {"c1 c2 | c1* c2~ c3", ""},
		"one was removed, and the rest would do without":    {"c1 c2 | c1* c2! c3", "take the vote c2"},
		"then it goes":                                      {"c1 c2 | c1* c2?! c3", "remove c3"},
		"the leader was removed":                            {"c2 c3 | c1* c2 c3", "hand over leadership c2"},
		"the leader was removed, the first lags":            {"c2 c3 | c1* c2^ c3", "hand over leadership c3"},
		"the leader was removed, a follower too":            {"c3 | c1* c2 c3", "hand over leadership c3"},
		"the leader was removed, only a learner is left":    {"c2 | c1* c2?", ""},
		"the leader was removed, the learner is up to date": {"c2 | c1* c2?+", "give a vote c2"},
		"the leader and a follower were removed, a learner": {"c3 | c1* c2 c3?", "remove c2"},
		"the leader was removed, nobody else is alive":      {"c2 c3 | c1* c2! c3!", ""},
		"three voters, one dead":                            {"c1 c2 c3 | c1* c2 c3!", ""},
		"three voters, two dead":                            {"c1 c2 c3 | c1* c2! c3!", ""},
		"two voters, one dead":                              {"c1 c2 | c1* c2!", ""},
		"four voters, one dead":                             {"c1 c2 c3 c4 | c1* c2 c3 c4!", "take the vote c4"},
		"four voters, one silent":                           {"c1 c2 c3 c4 | c1* c2 c3 c4~", ""},
		"four voters, two dead":                             {"c1 c2 c3 c4 | c1* c2 c3! c4!", ""},
		"four voters, one dead and one silent":              {"c1 c2 c3 c4 | c1* c2 c3! c4~", ""},
		"five voters, one dead":                             {"c1 c2 c3 c4 c5 | c1* c2 c3 c4 c5!", ""},
		"five voters, two dead":                             {"c1 c2 c3 c4 c5 | c1* c2 c3 c4! c5!", "take the vote c4"},
		"five voters, two dead, one done":                   {"c1 c2 c3 c4 c5 | c1* c2 c3 c4?! c5!", "take the vote c5"},
		"five voters, two dead, both done":                  {"c1 c2 c3 c4 c5 | c1* c2 c3 c4?! c5?!", ""},
		"five voters, one dead, one silent":                 {"c1 c2 c3 c4 c5 | c1* c2 c3 c4! c5~", ""},
		"five voters, three dead":                           {"c1 c2 c3 c4 c5 | c1* c2 c3! c4! c5!", ""},
		"seven voters, three dead":                          {"c1 c2 c3 c4 c5 c6 c7 | c1* c2 c3 c4 c5! c6! c7!", "take the vote c5"},
		"seven voters, three dead, two done":                {"c1 c2 c3 c4 c5 c6 c7 | c1* c2 c3 c4 c5?! c6?! c7!", ""},
		"a dead one comes back as a learner":                {"c1 c2 c3 c4 | c1* c2 c3 c4?+", "give a vote c4"},
		"a follower moved":                                  {"c1 c2@new | c1* c2", "change the address c2@new"},
		"the leader moved":                                  {"c1@new c2 | c1* c2", "change the address c1@new"},
		"one moved to an address in use":                    {"c1 c2@c3 c3@c2 | c1* c2 c3", ""},
	} {
		t.Run(phrase, func(t *testing.T) {
			c2, ok := plan(parsePicture(c.given))
			got := strings.TrimSpace(string(c2.action) + " " + c2.id)
			if c2.address != c2.id {
				got += "@" + c2.address
			}
			if got != c.want && !(c.want == "" && !ok) {
				t.Errorf("plan of %q: %q (%s), want %q", c.given, got, c2.why, c.want)
			}
		})
	}
}

// TestPlanNeverLosesTheMajority goes through all pictures of up to five controllers and follows the plans until there
// is nothing left to do.
func TestPlanNeverLosesTheMajority(t *testing.T) {
	marks := []string{"", "!", "~", "?", "?+", "?!"}
	names := []string{"c1", "c2", "c3", "c4", "c5"}
	var walk func(listed, given []string)
	walk = func(listed, given []string) {
		if n := len(given); n < len(names) {
			for _, m := range marks {
				next := append(given[:n:n], names[n]+m)
				walk(append(listed[:len(listed):len(listed)], names[n]), next)
				walk(listed, next)
			}
			return
		}
		followPlans(t, strings.Join(listed, " ")+" | "+strings.Join(given, " "))
	}
	walk([]string{"c1"}, []string{"c1*"})
	walk(nil, []string{"c1*"})
}

// followPlans carries out one plan after another.
func followPlans(t *testing.T, text string) {
	t.Helper()
	p := parsePicture(text)
	for range 20 {
		c, ok := plan(p)
		if !ok {
			return
		}
		if !p.canCommit() {
			t.Fatalf("%s: planned to %s %s without a majority", text, c.action, c.id)
		}
		if c.action == handOver {
			return
		}
		next := p.after(c)
		if !next.canCommit() {
			t.Fatalf("%s: the voters of %+v have no majority alive after: %s %s", text, next.given, c.action, c.id)
		}
		p = next
	}
	t.Fatalf("%s: the plans do not end", text)
}

// after returns p as it is once c is done.
func (p picture) after(c change) picture {
	var given []server
	for _, s := range p.given {
		switch {
		case s.id != c.id:
		case c.action == remove:
			continue
		case c.action == takeVote:
			s.voter, s.steady = false, false
		case c.action == giveVote:
			s.voter = true
		}
		given = append(given, s)
	}
	if c.action == addLearner {
		given = append(given, server{site: c.site})
	}
	p.given = given
	return p
}
