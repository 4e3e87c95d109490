package raftstore

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// A crew is a group whose voters follow its state. Nobody tells Raft who they are.
type crew struct {
	*group
	board *board
}

// newCrew starts c1, and lets c2 to cN join it.
func newCrew(t *testing.T, n int, change func(*Config)) *crew {
	t.Helper()
	b := newBoard()
	c := &crew{board: b}
	c.group = newGroup(t, 1, func(config *Config) {
		config.Peer = b.peer(config.Address)
		config.StewardInterval, config.StableFor, config.SilentFor = 20*time.Millisecond, 200*time.Millisecond, aliveWithin
		if change != nil {
			change(config)
		}
	})
	b.addAll(c.group)
	initCluster(t, c.stores["c1"].Store, fleet.Format, c.addrs)
	for i := 2; i <= n; i++ {
		c.join(fmt.Sprintf("c%d", i))
	}
	c.settled()
	return c
}

// launch starts a controller, so that the others reach it.
func (c *crew) launch(id string) *running {
	c.t.Helper()
	r := c.start(id)
	c.board.addAll(c.group)
	return r
}

// join starts a new controller and has the state list it.
func (c *crew) join(id string) {
	c.t.Helper()
	c.dirs[id] = c.t.TempDir()
	c.launch(id)
	at := netip.MustParseAddrPort(c.addrs[id])
	ports := fleet.DefaultPorts
	ports.Control = at.Port()
	token := fleet.JoinToken{ID: "token-" + id, Hash: fleet.Digest{1}, Expires: time.Now().Add(time.Hour)}
	c.propose(fleet.AddJoinToken{Token: token})
	c.propose(fleet.JoinController{Token: token.ID, Proof: token.Hash, Controller: fleet.Controller{
		ID: id, Address: at.Addr(), Ports: ports, Key: fleet.Digest([]byte(fmt.Sprintf("%32s", id))),
	}})
}

// propose proposes a command to any controller until it is in.
func (c *crew) propose(command fleet.Command) {
	c.t.Helper()
	entry := fleet.Entry{Command: command, ID: fmt.Sprintf("%p-%d", c, time.Now().UnixNano()), At: time.Now().UTC(), Who: "test"}
	var last error
	for ctx := testContext(c.t); ctx.Err() == nil; {
		for _, r := range c.stores {
			if _, last = r.Propose(ctx, entry); last == nil {
				return
			}
			if fleet.IsRefusal(last) && !errors.Is(last, fleet.ErrFormat) { // of those that know no state yet
				c.t.Fatalf("propose %s: %v", command.Kind(), last)
			}
		}
	}
	c.t.Fatalf("propose %s: %v", command.Kind(), last)
}

// cut takes a controller's cable away. It runs on.
func (c *crew) cut(id string) *running {
	r := c.stores[id]
	c.board.setCut(c.addrs[id], true)
	_ = r.config.Stream.Close() // the listener's error; it may be closed already
	delete(c.stores, id)
	return r
}

// kill ends a controller without a word to the others.
func (c *crew) kill(id string) {
	c.t.Helper()
	c.cut(id).stop(c.t)
}

// revive starts a controller that was cut off and stopped.
func (c *crew) revive(id string) *running {
	c.t.Helper()
	c.board.setCut(c.addrs[id], false)
	return c.launch(id)
}

// until waits until ok, which is asked again and again, and says so.
func (c *crew) until(what string, ok func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			for id, r := range c.stores {
				c.t.Logf("%s: %+v %s", id, r.Status(), spell(r.Members()))
			}
			c.t.Fatalf("not so in a minute: %s", what)
		}
	}
}

// spell writes members as parsePicture reads those of Raft.
func spell(members []Member) string {
	var words []string
	for _, m := range members {
		if !m.Voter {
			m.ID += "?"
		}
		words = append(words, m.ID)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// leads returns the controller that calls itself the leader.
func (c *crew) leads() *running {
	for _, r := range c.stores {
		if r.Status().Role == "leader" {
			return r
		}
	}
	return nil
}

// has waits until the leader's configuration is that.
func (c *crew) has(members string) {
	c.t.Helper()
	c.until("members "+members, func() bool {
		l := c.leads()
		return l != nil && spell(l.Members()) == members
	})
}

// settled waits until the voters are those that the state lists.
func (c *crew) settled() {
	c.t.Helper()
	c.until("the voters are the controllers that the state lists", func() bool {
		l := c.leads()
		if l == nil {
			return false
		}
		cluster, _ := l.State().Cluster()
		var want []string
		for _, ctl := range cluster.Controllers {
			want = append(want, ctl.ID)
		}
		slices.Sort(want)
		return spell(l.Members()) == strings.Join(want, " ")
	})
}

// anyFollower returns the id of one.
func (c *crew) anyFollower() string {
	c.t.Helper()
	return c.follower().config.ID
}

func TestNewControllersJoinByTheStateAlone(t *testing.T) {
	for phrase, change := range map[string]func(*Config){
		"by the log":     nil,
		"by a snapshot":  smallLog,
		"on fast clocks": fastElections,
	} {
		t.Run(phrase, func(t *testing.T) {
			c := newCrew(t, 1, change)
			for i := range 100 {
				c.add(fmt.Sprintf("a%d", i))
			}
			c.join("c2")
			c.join("c3")
			c.has("c1 c2 c3")
			c.agree(c.add("b"))
			c.until("the leader sees all of them", func() bool {
				l := c.leads()
				return l != nil && !slices.ContainsFunc(l.Members(), func(m Member) bool { return !m.Alive || m.Lag > 0 || m.Stats.ID != m.ID })
			})
		})
	}
}

func TestRemovedFollowerLeavesTheOthersAlone(t *testing.T) {
	c := newCrew(t, 3, fastElections)
	id := c.anyFollower()
	gone := c.stores[id]
	c.propose(fleet.RemoveController{ID: id})
	c.settled()
	delete(c.stores, id)
	t.Cleanup(func() { gone.stop(t) })
	c.until("it knows", func() bool { return gone.Status().Removed && gone.Stats().Removed })
	term := gone.Status().Term
	c.agree(c.add("a"))
	if st := gone.Status(); st.Role == "leader" || st.Term != term {
		t.Errorf("removed controller: %+v, want one that does not lead, in term %d", st, term)
	}
	for _, r := range c.stores {
		if r.Status().Removed {
			t.Errorf("controller %s believes to be removed", r.config.ID)
		}
	}
}

func TestControllerRemovedWhileItWasAwayLeavesTheOthersAlone(t *testing.T) {
	c := newCrew(t, 3, fastElections)
	id := c.anyFollower()
	c.kill(id)
	c.propose(fleet.RemoveController{ID: id})
	c.settled()
	// Raft goes on for a while to try and send it what it misses, its removal included. It shall never hear of it.
	c.addrs[id] = ""
	gone := c.revive(id)
	delete(c.stores, id)
	t.Cleanup(func() { gone.stop(t) })
	term := gone.Status().Term
	for range 3 { // it stands for election, in vain, again and again
		c.until("it asks for votes", func() bool { return gone.Status().Role == "candidate" })
		c.agree(c.add(fmt.Sprintf("a%d", gone.Status().Last) + rest()))
	}
	if st := gone.Status(); st.Term != term {
		t.Errorf("it has come from term %d to %d", term, st.Term)
	}
}

var names atomic.Uint64

// rest ends the name of a node in a way of its own.
func rest() string { return fmt.Sprintf("-%d", names.Add(1)) }

func TestRemovedLeaderHandsOver(t *testing.T) {
	c := newCrew(t, 3, nil)
	id := c.leader().config.ID
	gone := c.stores[id]
	c.propose(fleet.RemoveController{ID: id})
	delete(c.stores, id)
	t.Cleanup(func() { gone.stop(t) })
	c.settled()
	c.agree(c.add("a"))
	c.until("it knows", func() bool { return gone.Status().Removed })
}

func TestDeadVoterLosesItsVoteUntilItIsBack(t *testing.T) {
	c := newCrew(t, 4, nil)
	id := c.anyFollower()
	c.kill(id)
	c.has(strings.ReplaceAll("c1 c2 c3 c4", id, id+"?"))
	c.add("a")
	c.revive(id)
	c.has("c1 c2 c3 c4")
	c.agree(c.add("b"))
}

func TestChangesOfTheControllersOutliveTheLeader(t *testing.T) {
	c := newCrew(t, 3, nil)
	for i := range 3 {
		c.join(fmt.Sprintf("c%d", 4+2*i))
		id := c.leader().config.ID
		c.kill(id)
		c.join(fmt.Sprintf("c%d", 5+2*i))
		c.add("a" + rest())
		c.revive(id)
		c.settled()
		c.propose(fleet.RemoveController{ID: fmt.Sprintf("c%d", 4+2*i)})
		gone := c.stores[fmt.Sprintf("c%d", 4+2*i)]
		delete(c.stores, gone.config.ID)
		c.settled()
		gone.stop(t)
		c.agree(c.add("b" + rest()))
	}
}

func TestFormatIsRaisedOnceAllUnderstandIt(t *testing.T) {
	var old atomic.Value
	old.Store("c3")
	b := newBoard()
	g := newGroup(t, 3, func(c *Config) {
		c.Peer = b.peer(c.Address)
		c.StewardInterval = 20 * time.Millisecond
		if c.ID == old.Load() {
			c.Format = 1
		}
	})
	c := &crew{group: g, board: b}
	b.addAll(g)
	initCluster(t, g.leader().Store, 1, g.addrs)
	c.until("the leader has heard the format of all", func() bool {
		l := c.leads()
		return l != nil && !slices.ContainsFunc(l.Members(), func(m Member) bool { return m.Stats.Format == 0 })
	})
	if got := g.leader().State().Format(); got != 1 {
		t.Errorf("the state's format is %d while a controller understands but 1", got)
	}
	c.kill("c3")
	c.add("a")
	old.Store("")
	c.revive("c3")
	c.until("the newest format", func() bool { return c.stores["c3"].State().Format() == fleet.Format })
	c.agree(c.add("b"))
}

func TestTransfer(t *testing.T) {
	c := newCrew(t, 3, nil)
	c.join("c4")
	c.settled()
	old := c.leader()
	to := c.anyFollower()
	c.until("the leader sees the other", func() bool {
		return slices.ContainsFunc(old.Members(), func(m Member) bool { return m.ID == to && m.Alive })
	})
	if err := old.Transfer(testContext(t), to); err != nil {
		t.Fatalf("transfer to %s: %v", to, err)
	}
	if got := c.leader().config.ID; got != to {
		t.Errorf("%s leads, want %s", got, to)
	}
	if err := old.Transfer(testContext(t), ""); !errors.Is(err, ErrNotLeader) {
		t.Errorf("transfer by a follower: %v, want %v", err, ErrNotLeader)
	}
	leader := c.leader()
	c.kill(old.config.ID)
	c.until("the leader misses it", func() bool {
		return slices.ContainsFunc(leader.Members(), func(m Member) bool { return m.ID == old.config.ID && !m.Alive })
	})
	for to, want := range map[string]string{
		"c9":             "there is no such controller; ",
		old.config.ID:    "; ",
		leader.config.ID: "it leads already; ",
	} {
		if err := leader.Transfer(testContext(t), to); !errors.Is(err, ErrCannotLead) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "could") {
			t.Errorf("transfer to %s: %v, want %v: %s who could", to, err, ErrCannotLead, want)
		}
	}
	if err := leader.Transfer(testContext(t), ""); err != nil {
		t.Errorf("transfer to any: %v", err)
	}
}

func TestLeaderWithAFullDiskIsReplaced(t *testing.T) {
	var full atomic.Value
	full.Store("")
	g := newGroup(t, 3, func(c *Config) {
		id := c.ID
		c.wrapDisk = func(d disk) disk {
			return &faultyDisk{disk: d, fault: func() error {
				if full.Load() == id {
					return syscall.ENOSPC
				}
				return nil
			}}
		}
	})
	g.agree(g.add("a"))
	old := g.leader()
	full.Store(old.config.ID)
	if _, err := old.Propose(testContext(t), addNode("b")); !errors.Is(err, ErrUncertain) {
		t.Errorf("propose to a leader whose disk is full: %v, want %v", err, ErrUncertain)
	}
	delete(g.stores, old.config.ID)
	g.agree(g.add("c"))
	if err := awaitRun(t, old); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free space") {
		t.Errorf("Run of the leader with a full disk: %v, want %v and what to do", err, syscall.ENOSPC)
	}
	full.Store("")
	g.start(old.config.ID)
	g.agree(g.add("d"))
}
