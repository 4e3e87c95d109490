package raftstore

import (
	"cmp"
	"fmt"
	"slices"
)

// A picture is what a leader plans the next change of Raft's configuration from.
type picture struct {
	self   string
	wanted []site   // the controllers that the state lists; if there are none, nothing is known
	given  []server // those of Raft's configuration
}

// A site is a controller as the state lists it.
type site struct{ id, address string }

// A server is a controller in Raft's configuration. The leader itself is alive, current and steady.
type server struct {
	site
	voter   bool
	alive   bool // it answered lately
	dead    bool // it has not answered for long
	current bool // it answered the last question, and was up to date
	steady  bool // it has been current for long enough to get a vote
}

// An action is what a change does.
type action string

const (
	addLearner action = "add a learner"
	giveVote   action = "give a vote"
	takeVote   action = "take the vote"
	remove     action = "remove"
	readdress  action = "change the address"
	handOver   action = "hand over leadership"
)

// A change is one step from the configuration that Raft has to the one that the state wants.
type change struct {
	action
	site
	voter bool   // of readdress: it has a vote
	why   string // for people
}

// plan returns the next change, false if there is none to make. After each change that it plans, the voters that are
// alive are a majority. It relies on the change before being done.
func plan(p picture) (change, bool) {
	if len(p.wanted) == 0 || !p.canCommit() {
		return change{}, false
	}
	for _, rule := range []func(picture) (change, bool){
		picture.dropLearner, picture.leave, picture.dropVoter, picture.buryVoter, picture.makeRoom,
		picture.move, picture.admit, picture.promote,
	} {
		if c, ok := rule(p); ok {
			return c, true
		}
	}
	return change{}, false
}

// canCommit reports whether a majority of the voters is there to agree on a change.
func (p picture) canCommit() bool {
	voters, alive := p.count(nil)
	return alive >= majority(voters)
}

// dropLearner removes a learner that the state does not list, which costs nothing.
func (p picture) dropLearner() (change, bool) {
	for _, s := range p.given {
		if _, ok := p.listed(s.id); !ok && !s.voter {
			return change{action: remove, site: s.site, why: "the state does not list it"}, true
		}
	}
	return change{}, false
}

// leave hands leadership over, if the state does not list this controller. Its successor removes it.
func (p picture) leave() (change, bool) {
	if _, ok := p.listed(p.self); ok {
		return change{}, false
	}
	for _, s := range p.given {
		if _, ok := p.listed(s.id); ok && s.voter && s.current && s.id != p.self {
			return change{action: handOver, site: s.site, why: "this controller is to be removed"}, true
		}
	}
	return change{}, false
}

// dropVoter removes a voter that the state does not list, one that is not alive first.
func (p picture) dropVoter() (change, bool) {
	for _, s := range p.unwanted() {
		if p.keepsMajority(s.id) {
			return change{action: remove, site: s.site, why: "the state does not list it"}, true
		}
	}
	return change{}, false
}

// buryVoter takes the vote of one that is dead, if the rest then stands more further deaths; it may take the votes of
// several, one after another, to get there. (Of five, two being dead, the rest stands none, and neither would four
// voters; but three would stand one.)
func (p picture) buryVoter() (change, bool) {
	voters, alive := p.count(nil)
	tolerated := func(voters int) int { return alive - majority(voters) }
	dead := p.dead()
	for n := range dead {
		if tolerated(voters-n-1) > tolerated(voters) && p.keepsMajority(dead[0].id) {
			return change{action: takeVote, site: dead[0].site, why: "it is dead, and the others stand more deaths without its vote"}, true
		}
	}
	return change{}, false
}

// makeRoom takes the vote of one that is dead if only then a voter can be removed that the state does not list. It was
// said to be out; the others must not come to need it.
func (p picture) makeRoom() (change, bool) {
	for _, u := range p.unwanted() {
		for _, d := range p.dead() {
			if p.keepsMajority(d.id) && p.keepsMajority(d.id, u.id) {
				return change{action: takeVote, site: d.site, why: fmt.Sprintf("it is dead, and controller %s cannot be removed otherwise", u.id)}, true
			}
		}
	}
	return change{}, false
}

// move gives a controller the address that the state says.
func (p picture) move() (change, bool) {
	for _, s := range p.given {
		w, ok := p.listed(s.id)
		if ok && w.address != s.address && !p.taken(w.address) {
			return change{action: readdress, site: w, voter: s.voter, why: "it was at " + s.address}, true
		}
	}
	return change{}, false
}

// admit adds a controller that the state lists. It learns first.
func (p picture) admit() (change, bool) {
	for _, w := range p.wanted {
		known := slices.ContainsFunc(p.given, func(s server) bool { return s.id == w.id })
		if !known && !p.taken(w.address) {
			return change{action: addLearner, site: w, why: "the state lists it"}, true
		}
	}
	return change{}, false
}

// promote gives a vote to a learner that has been up to date for long enough.
func (p picture) promote() (change, bool) {
	for _, s := range p.given {
		if w, ok := p.listed(s.id); ok && !s.voter && s.steady && w.address == s.address {
			return change{action: giveVote, site: s.site, why: "it is up to date"}, true
		}
	}
	return change{}, false
}

// listed returns a controller as the state lists it.
func (p picture) listed(id string) (site, bool) {
	i := slices.IndexFunc(p.wanted, func(w site) bool { return w.id == id })
	if i < 0 {
		return site{}, false
	}
	return p.wanted[i], true
}

// taken reports whether Raft has a controller at that address, which would make it refuse another there.
func (p picture) taken(address string) bool {
	return slices.ContainsFunc(p.given, func(s server) bool { return s.address == address })
}

// unwanted returns the voters but this controller that the state does not list, those that are not alive first.
func (p picture) unwanted() []server {
	list := p.voters(func(s server) bool {
		_, ok := p.listed(s.id)
		return !ok && s.id != p.self
	})
	slices.SortStableFunc(list, func(a, b server) int { return cmp.Compare(rank(a.alive), rank(b.alive)) })
	return list
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// dead returns the voters that are dead.
func (p picture) dead() []server {
	return p.voters(func(s server) bool { return s.dead && s.id != p.self })
}

func (p picture) voters(which func(server) bool) []server {
	var list []server
	for _, s := range p.given {
		if s.voter && which(s) {
			list = append(list, s)
		}
	}
	return list
}

// keepsMajority reports whether the voters without those are some, and most of them alive.
func (p picture) keepsMajority(without ...string) bool {
	voters, alive := p.count(without)
	return alive >= majority(voters)
}

// count returns how many voters there are without those, and how many of them are alive.
func (p picture) count(without []string) (voters, alive int) {
	for _, s := range p.voters(func(s server) bool { return !slices.Contains(without, s.id) }) {
		voters++
		alive += rank(s.alive)
	}
	return voters, alive
}

// majority returns how many of n voters agree on a change.
func majority(n int) int { return n/2 + 1 }
