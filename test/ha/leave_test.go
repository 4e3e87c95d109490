package ha

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/internal/api"
)

// turnover is the life of a cluster of three of which controllers go.
type turnover struct {
	*site
	heads    []*head
	replaced *head // what a controller was that another has the name of now
}

func TestControllersLeave(t *testing.T) {
	t.Parallel()
	o := &turnover{site: newSite(t, "samara-ha-leave")}
	run(t, []stage{
		{"three controllers form", func(t *testing.T) { o.heads = o.form(t, 3) }},
		{"leadership is handed over", o.transfer},
		{"a user is let in, and taken away", o.users},
		{"one directory is for one process", o.oneDirectory},
		{"a follower is removed", o.removeFollower},
		{"it joins again, with an empty directory", o.joinAgain},
		{"a lost one does not come back in the place of its successor", o.impostor},
		{"the leader is removed", o.removeLeader},
		{"removal is refused that would cost the quorum, and forced", o.force},
	})
}

func (o *turnover) transfer(t *testing.T) {
	leader, others := leaderOf(t, o.heads...)
	heir, other := others[0], others[1]
	if out := other.samara(t, "controller", "transfer", heir.Host.ID); !strings.HasPrefix(out, heir.Host.ID+" leads, after ") || !strings.HasSuffix(out, leader.Host.ID+" did before\n") {
		t.Errorf("transfer to %s: %q", heir.Host.ID, out)
	}
	if now, _ := leaderOf(t, o.heads...); now != heir {
		t.Errorf("%s leads, want %s", now.Host.ID, heir.Host.ID)
	}
	if out := heir.samara(t, "controller", "transfer"); strings.HasPrefix(out, heir.Host.ID) || !strings.HasSuffix(out, heir.Host.ID+" did before\n") {
		t.Errorf("transfer to any: %q", out)
	}
	now, _ := leaderOf(t, o.heads...)
	o.heads[0].refused(t, 2, []string{"cannot lead", "it leads already", "could"}, "controller", "transfer", now.Host.ID)
	o.heads[1].refused(t, 2, []string{"cannot lead", "there is no such controller", "could"}, "controller", "transfer", "head9")
	o.heads[2].refused(t, 2, []string{"Head 2"}, "controller", "transfer", "Head 2")
	o.heads[2].samara(t, "node", "add", "t1")
}

func (o *turnover) oneDirectory(t *testing.T) {
	first := o.heads[0]
	first.refused(t, 1, []string{"in use by another samara process"}, "serve", "--dir", first.Dir)
	first.refused(t, 1, []string{"in use by another samara process"}, "controller", "recover", "--dir", first.Dir, "--dry-run")
	copied := first.anew("copied")
	if err := os.CopyFS(copied.Dir, os.DirFS(first.Dir)); err != nil {
		t.Fatal(err)
	}
	copied.refused(t, 1, []string{"control port 7600 is in use"}, "serve", "--dir", copied.Dir)
	elsewhere := o.head(t, 4)
	elsewhere.refused(t, 1, []string{"10.77.0.1 is not an address of this machine"}, "serve", "--dir", copied.Dir)
}

// removed checks that a controller that was removed has ended, and does not start again.
func removed(t *testing.T, h *head) {
	t.Helper()
	words := []string{"controller " + h.Host.ID + " was removed from cluster hall", "samara controller token"}
	h.quits(t, words...)
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	h.quits(t, words...)
}

func (o *turnover) removeFollower(t *testing.T) {
	_, others := leaderOf(t, o.heads...)
	gone := others[0]
	rest := slices.DeleteFunc(slices.Clone(o.heads), func(h *head) bool { return h == gone })
	at := rest[0]
	before := at.status(t).Revision
	at.refused(t, 2, []string{"remove controller " + gone.Host.ID, "2 controllers stay", "two controllers are not highly available", "-y says that you mean it"}, "controller", "remove", gone.Host.ID)
	at.refused(t, 1, []string{"head9", "not found", "samara controller list"}, "controller", "remove", "head9", "-y")
	at.samara(t, "controller", "remove", gone.Host.ID, "--dry-run")
	if now := at.status(t).Revision; now != before {
		t.Errorf("a dry run went from revision %d to %d", before, now)
	}
	out := at.samara(t, "controller", "remove", gone.Host.ID, "-y", "-m", "moved to another building")
	if !strings.Contains(out, gone.Host.ID) {
		t.Errorf("remove says %q", out)
	}
	removed(t, gone)
	whole(t, rest...)
	if out := at.samara(t, "status"); !strings.Contains(out, "two controllers are not high availability") {
		t.Errorf("status of the two that are left:\n%s", out)
	}
	at.samara(t, "node", "add", "t2")
	o.replaced = gone
}

// joinAgain has the one that was removed join with the directory that it has, and then without.
func (o *turnover) joinAgain(t *testing.T) {
	gone := o.replaced
	at := o.heads[slices.IndexFunc(o.heads, func(h *head) bool { return h != gone })]
	token := at.token(t)
	gone.refused(t, 2, []string{"already exists", gone.Host.ID + " of cluster hall", "move that directory away"}, gone.joining(at, token)...)
	o.moveAway(t, gone, "removed")
	gone.samara(t, gone.joining(at, token)...)
	gone.serve(t)
	whole(t, o.heads...)
	if got := gone.nodes(t); !slices.Equal(got, []string{"t1", "t2"}) {
		t.Errorf("nodes at the one that joined again: %v", got)
	}
}

// moveAway gives a controller's directory another name, and returns the controller that it then holds.
func (s *site) moveAway(t *testing.T, h *head, name string) *head {
	t.Helper()
	away := h.anew(name)
	if err := os.Rename(h.Dir, away.Dir); err != nil {
		t.Fatal(err)
	}
	return away
}

// impostor removes a controller that is down and does not hear of it, has another join in its place, and starts the
// first one again while that other is down.
func (o *turnover) impostor(t *testing.T) {
	leader, others := leaderOf(t, o.heads...)
	successor := others[0]
	successor.Kill()
	leader.samara(t, "controller", "remove", successor.Host.ID, "-y")
	lost := o.moveAway(t, successor, "lost")
	successor.join(t, leader)
	whole(t, o.heads...)
	successor.Kill()
	if err := lost.Start(); err != nil {
		t.Fatal(err)
	}
	leader, _ = leaderOf(t, slices.DeleteFunc(slices.Clone(o.heads), func(h *head) bool { return h == successor })...)
	refusesVotes(t, lost, "another controller is called "+lost.Host.ID+" now", leader)
	leader.samara(t, "node", "add", "i1")
	if slices.Contains(lost.nodesOrNone(t), "i1") {
		t.Error("the one that was lost receives changes")
	}
	if s := lost.says(t, "node", "add", "i2"); s.status != 1 || s.out != "" {
		t.Errorf("a change at the one that was lost: %v", s)
	}
	lost.quits(t, "controller "+lost.Host.ID+" was removed from cluster hall", "samara controller token")
	if s := leader.status(t); s.Leader != leader.Host.ID || !s.Quorum {
		t.Errorf("%s led, and now %q does", leader.Host.ID, s.Leader)
	}
	successor.serve(t)
	whole(t, o.heads...)
}

// refusesVotes waits until one of heads has refused a connection for the log from the host of a lost one, and said why.
func refusesVotes(t *testing.T, lost *head, why string, heads ...*head) {
	t.Helper()
	eventually(t, "the others to refuse "+lost.Dir, func() (bool, string) {
		for _, h := range heads {
			if found, err := h.LogSays("refused a raft connection", lost.Host.Address.String(), why); err != nil || found {
				return found, fmt.Sprint(err)
			}
		}
		return false, "no such line in the logs"
	})
}

// nodesOrNone returns the nodes in the controller's own copy, none if it does not answer.
func (h *head) nodesOrNone(t *testing.T) []string {
	t.Helper()
	return strings.Fields(h.says(t, "node", "list", "-o", "name", "--stale").out)
}

func (o *turnover) removeLeader(t *testing.T) {
	leader, others := leaderOf(t, o.heads...)
	leader.samara(t, "controller", "remove", leader.Host.ID, "-y")
	removed(t, leader)
	whole(t, others...)
	others[0].samara(t, "node", "add", "u1")
	fresh := leader.anew("fresh")
	fresh.join(t, others[0])
	o.heads = append(others, fresh)
	whole(t, o.heads...)
}

// force removes one of two that are left of three.
func (o *turnover) force(t *testing.T) {
	leader, others := leaderOf(t, o.heads...)
	dead, gone := others[0], others[1]
	dead.Kill()
	eventually(t, "the leader to see that one is dead", func() (bool, string) {
		s := leader.status(t)
		return slices.ContainsFunc(s.Controllers, func(v api.ControllerView) bool { return v.ID == dead.Host.ID && !v.Alive }), fmt.Sprintf("%+v", s.Controllers)
	})
	if out := leader.samara(t, "status"); !strings.Contains(out, "controller "+dead.Host.ID+" does not answer") || !strings.Contains(out, "start samara on "+dead.Host.ID) {
		t.Errorf("status with one dead:\n%s", out)
	}
	leader.refused(t, 1, []string{"controller " + gone.Host.ID, "of the 2 voters that stay only 1 answer", "--force"}, "controller", "remove", gone.Host.ID, "-y")
	if out := leader.samara(t, "controller", "list", "-o", "name"); len(strings.Fields(out)) != 3 {
		t.Errorf("after a removal that was refused: %q", out)
	}
	leader.samara(t, "controller", "remove", gone.Host.ID, "--force", "-y")
	removed(t, gone)
	if out := leader.samara(t, "controller", "list", "-o", "name"); len(strings.Fields(out)) != 2 || strings.Contains(out, gone.Host.ID) {
		t.Errorf("after a removal that was forced: %q", out)
	}
}
