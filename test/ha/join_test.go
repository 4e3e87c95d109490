package ha

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/test/lab"
)

// growth is the life of a cluster that becomes three controllers, and serves.
type growth struct {
	*site
	first, second, third, foreign *head
	spent                         string // the token that the second joined with
	wantNodes                     []string
	image                         *head // that imported the image
}

func TestAClusterGrowsAndServes(t *testing.T) {
	t.Parallel()
	g := &growth{site: newSite(t, "samara-ha-grow")}
	g.first, g.second, g.third, g.foreign = g.head(t, 1), g.head(t, 2), g.head(t, 3), g.head(t, 9)
	run(t, []stage{
		{"one controller is no high availability", g.one},
		{"bad tokens are refused", g.badTokens},
		{"names and addresses that are taken are refused", g.taken},
		{"an address where no controller is, is refused", g.nobody},
		{"another cluster's controller and its token are refused", g.otherCluster},
		{"a second controller joins, once", g.two},
		{"a join whose answer was lost is completed", g.lostAnswer},
		{"three controllers vote", g.three},
		{"changes go to any controller, and are read at any", g.reads},
		{"an image is held by all", g.imports},
		{"blobs that were lost are fetched", g.emptied},
		{"without a quorum the last state is told and changes are refused", g.noQuorum},
		{"a watch goes on when its controller is killed", g.watch},
		{"a fresh controller has the blobs before it counts", g.fresh},
		{"a damaged blob is found and mended", g.mends},
	})
}

func (g *growth) one(t *testing.T) {
	g.first.init(t, "hall")
	g.first.serve(t)
	if out := g.first.samara(t, "status"); !strings.Contains(out, "one controller alone: while it is down") {
		t.Errorf("status of one controller:\n%s", out)
	}
	if out := g.first.samara(t, "controller", "list", "-o", "name"); out != "head1\n" {
		t.Errorf("controllers: %q", out)
	}
}

// unchanged fails the test if do changes the cluster, or makes h a controller.
func (g *growth) unchanged(t *testing.T, h *head, do func()) {
	t.Helper()
	look := func() string { return g.first.samara(t, "cluster", "show", "-o", "json") }
	had, before := exists(t, filepath.Join(h.Dir, "controller.json")), look()
	do()
	if after := look(); after != before {
		t.Errorf("what was refused has changed the cluster: it was %s, and is %s", before, after)
	}
	if !had && exists(t, filepath.Join(h.Dir, "controller.json")) {
		t.Errorf("what was refused has made a controller in %s", h.Dir)
	}
}

const another = "samara controller token makes another"

func (g *growth) badTokens(t *testing.T) {
	good := g.first.token(t)
	parts := strings.Split(good, ".")
	other := func(part int) string {
		p := slices.Clone(parts)
		p[part] = strings.Map(func(r rune) rune {
			if r == '0' {
				return '1'
			}
			return '0'
		}, p[part])
		return strings.Join(p, ".")
	}
	short := g.first.token(t, "--for", "1s")
	g.unchanged(t, g.second, func() {
		g.second.refused(t, 2, []string{"not a join token", "samara controller token"}, g.second.joining(g.first, "please")...)
		g.second.refused(t, 2, []string{"not a join token", "was it cut off"}, g.second.joining(g.first, good[:len(good)-1])...)
		g.second.refused(t, 2, []string{"join refused", "wrong", another}, g.second.joining(g.first, other(3))...)
		g.second.refused(t, 2, []string{"join refused", "wrong", another}, g.second.joining(g.first, other(2))...)
		// Under the name of another, so that it is refused while the token holds.
		eventually(t, "the token to expire", func() (bool, string) {
			s := g.second.says(t, g.second.joining(g.first, short, "--id", g.first.Host.ID)...)
			return s.status == 2 && strings.Contains(s.stderr, "join refused: the token expired at") && strings.Contains(s.stderr, another), s.String()
		})
		g.second.refused(t, 2, []string{"the token expired at", another}, g.second.joining(g.first, short)...)
	})
	for _, life := range []string{"0s", "999h"} {
		g.first.refused(t, 2, []string{"--for", "want a time such as 1h"}, "controller", "token", "--for", life)
	}
}

func (g *growth) taken(t *testing.T) {
	g.first.samara(t, "node", "add", "n1", "--mac", "02:77:00:00:00:11", "--ip", g.second.Host.Address.String())
	token := g.first.token(t)
	g.unchanged(t, g.second, func() {
		g.second.refused(t, 2, []string{"controller head1", "already exists", "choose another name", "samara controller remove head1"},
			g.second.joining(g.first, token, "--id", "head1")...)
		g.second.refused(t, 2, []string{"address 10.77.0.2", "already exists", "node n1 has it"}, g.second.joining(g.first, token)...)
		g.second.refused(t, 2, []string{"10.77.0.99", "not one of this machine's"}, g.second.joining(g.first, token, "--address", "10.77.0.99")...)
		g.second.refused(t, 2, []string{"--address", "want an IPv4 address"}, g.second.joining(g.first, token, "--address", "head2")...)
		g.second.refused(t, 2, []string{"controller", "Head 2"}, g.second.joining(g.first, token, "--id", "Head 2")...)
	})
	sibling := g.first.anew("sibling")
	g.unchanged(t, sibling, func() {
		sibling.refused(t, 2, []string{"address 10.77.0.1", "already exists", "controller head1 has it", "choose another address"},
			sibling.joining(g.first, token, "--id", "head8")...)
	})
	g.first.samara(t, "node", "delete", "n1", "--yes")
}

// soon is how long a join may take that nobody answers.
const soon = 20 * time.Second

func (g *growth) nobody(t *testing.T) {
	token := g.first.token(t)
	cure := []string{"no answer", "10.77.0.", "is ADDRESS a controller's", "may this machine reach its TCP port"}
	ask := func(what string, args ...string) {
		t.Helper()
		if s := g.second.refused(t, 1, cure, args...); s.took > soon {
			t.Errorf("%s: it took %s to say so", what, s.took)
		}
	}
	g.unchanged(t, g.second, func() {
		ask("a host without a controller", g.second.joining(g.third, token)...)
		nowhere := g.second.joining(g.first, token)
		nowhere[2] = "10.77.0.66"
		ask("an address without a host", nowhere...)
		if err := g.first.Host.Cut(fleet.DefaultPorts.Control); err != nil {
			t.Fatal(err)
		}
		ask("behind a firewall", g.second.joining(g.first, token)...)
		if err := g.first.Host.Heal(); err != nil {
			t.Fatal(err)
		}
	})
}

func (g *growth) otherCluster(t *testing.T) {
	g.foreign.init(t, "foreign")
	token := g.first.token(t)
	g.unchanged(t, g.foreign, func() {
		g.foreign.refused(t, 2, []string{"already exists", "head9 of cluster foreign", "move that directory away"}, g.foreign.joining(g.first, token)...)
	})
	g.foreign.serve(t)
	before := g.foreign.samara(t, "cluster", "show", "-o", "json")
	g.unchanged(t, g.second, func() {
		g.second.refused(t, 2, []string{"another cluster", "the token is of another cluster than ADDRESS", "samara controller token"}, g.second.joining(g.foreign, token)...)
	})
	if after := g.foreign.samara(t, "cluster", "show", "-o", "json"); after != before {
		t.Errorf("what was refused has changed the other cluster: it was %s, and is %s", before, after)
	}
	theirs := g.foreign.token(t)
	g.unchanged(t, g.second, func() {
		g.second.refused(t, 2, []string{"another cluster", "the token is of another cluster than ADDRESS", "samara controller token"}, g.second.joining(g.first, theirs)...)
	})
	g.foreign.Kill()
}

// two joins the second with the key that was made when it was refused.
func (g *growth) two(t *testing.T) {
	g.spent = g.first.token(t)
	out := g.second.samara(t, g.second.joining(g.first, g.spent)...)
	if out != fmt.Sprintf("joined cluster hall: controller head2 at 10.77.0.2, in %s\n", g.second.Dir) {
		t.Errorf("join says %q", out)
	}
	if out := g.first.samara(t, "controller", "list"); !strings.Contains(out, "head2  10.77.0.2") || !strings.Contains(out, "start samara on head2") {
		t.Errorf("before the second was started:\n%s", out)
	}
	g.unchanged(t, g.second, func() {
		g.second.refused(t, 2, []string{"already exists", "head2 of cluster hall"}, g.second.joining(g.first, g.spent)...)
		g.third.refused(t, 2, []string{"join refused: controller head2 has used the token", another}, g.third.joining(g.first, g.spent)...)
	})
	lost := g.second.anew("lost") // the machine whose directory went; it has another key now
	g.unchanged(t, lost, func() {
		lost.refused(t, 2, []string{"join refused: controller head2 has used the token", another}, lost.joining(g.first, g.spent)...)
	})
	g.second.serve(t)
	if out := g.second.samara(t, "status"); !strings.Contains(out, "1 of 2 controllers votes and answers, none may fail; 1 without a vote") ||
		!strings.Contains(out, "one controller alone: while it is down") {
		t.Errorf("status of one that votes and one that learns:\n%s", out)
	}
}

// lostAnswer kills the third's join as soon as the cluster has taken it in, and asks again.
func (g *growth) lostAnswer(t *testing.T) {
	var l net.Listener
	err := g.network.Do(func() (err error) {
		l, err = net.Listen("tcp4", net.JoinHostPort(lab.OwnAddress.String(), "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	token := g.first.token(t)
	args := g.third.joining(g.first, token)
	args[2] = l.Addr().String()
	cmd := g.third.Command(args...)
	joined := make(chan error, 1)
	go func() { joined <- g.relay(t.Context(), l) }()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-joined; err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if exists(t, filepath.Join(g.third.Dir, "controller.json")) {
		t.Error("the answer arrived: nothing was interrupted")
	}
	g.unchanged(t, g.third, func() {
		stranger := g.foreign.anew("stranger")
		stranger.refused(t, 2, []string{"join refused: controller head3 has used the token", another}, stranger.joining(g.first, token)...)
		if s := g.third.says(t, "serve", "--dir", g.third.Dir); s.status == 0 || !strings.Contains(s.stderr, "holds no controller") {
			t.Errorf("samara serve without a directory: %v", s)
		}
		g.third.refused(t, 2, []string{"join refused", "samara controller token"}, g.third.joining(g.first, token, "--id", "head7")...)
	})
	before := g.first.samara(t, "cluster", "show", "-o", "json")
	g.third.samara(t, g.third.joining(g.second, token)...) // at whichever controller
	if after := g.first.samara(t, "cluster", "show", "-o", "json"); after != before {
		t.Errorf("the completed join made %s of %s", after, before)
	}
}

// relay passes on what the machine that connects to l and the first controller say, until the latter answers a join
// that it has accepted. The answer is kept back.
func (g *growth) relay(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	machine, err := l.Accept()
	if err != nil {
		return err
	}
	defer machine.Close()
	control := net.JoinHostPort(g.first.Host.Address.String(), fmt.Sprint(fleet.DefaultPorts.Control))
	cluster, err := g.network.Dial(ctx, "tcp", control)
	if err != nil {
		return err
	}
	defer cluster.Close()
	go func() { _, _ = io.Copy(cluster, machine) }() // ends with either
	client := g.first.Client()
	defer client.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := cluster.Read(b)
		if err != nil {
			return fmt.Errorf("the join was not accepted: %w", err)
		}
		all, err := client.Controllers(ctx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(v api.ControllerView) bool { return v.ID == g.third.Host.ID }) {
			return nil
		}
		if _, err := machine.Write(b[:n]); err != nil {
			return err
		}
	}
}

func (g *growth) three(t *testing.T) {
	g.third.serve(t)
	whole(t, g.first, g.second, g.third)
	if out := g.third.samara(t, "status"); strings.Contains(out, "note:") || !strings.Contains(out, "3 of 3 controllers vote and answer, 1 may fail") {
		t.Errorf("status of three controllers:\n%s", out)
	}
	eventually(t, "all to be well", func() (bool, string) {
		out := g.second.samara(t, "status")
		return strings.Contains(out, "all is well"), out
	})
}
