package swarmlab

import (
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// interopLink is the agent's, and passes the image in twenty seconds; those of the others are not limited. So the client has
// most of what the controller shows, and the agent has it from the client.
const interopLink = testImage / 20

// TestClientsOfOthersTakePart has a BitTorrent client that is not ours be a node of a cluster, beside one agent. With the
// .torrent it joins the live swarm by the controller's tracker, and downloads everything. Whatever the agent has from
// nodes it has from that client: the controller shows a piece to one of the two, who is to pass it on.
func TestClientsOfOthersTakePart(t *testing.T) {
	for name, tc := range map[string]struct {
		prefix string
		role   peer.Role
		need   []string // a program that succeeds where the client is installed
		pkg    string
		gives  float64 // images, at least
	}{
		"aria2":      {"swl-aria", peer.Aria2, []string{"aria2c", "--version"}, "aria2", 0.05},
		"libtorrent": {"swl-libt", peer.Libtorrent, []string{"/usr/bin/python3", "-c", "import libtorrent"}, "python3-libtorrent", 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := exec.CommandContext(t.Context(), tc.need[0], tc.need[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s: apt-get install %s", err, out, tc.pkg)
			}
			h := newHall(t, tc.prefix, Layout{Heads: 1, Nodes: 2, Racks: 1})
			m := h.form("c", h.Heads, h.every()...)
			agent := h.start(m, 0)[0]
			client := h.startOutsider(m, 1, tc.role)
			h.must(agent.Host.Link.Limit(interopLink))
			h.begin(agent)
			h.must(h.crowd.Wait(h.ctx, "the agent to hold something", func() bool { return agent.latest.Have > 0 }))
			h.begin(client)
			h.proved(client, agent)
			h.isBlameless(client)
			h.callsItself(client)
			passed, err := client.Host.Link.Traffic()
			h.must(err)
			gave, took := client.Latest().Uploaded, agent.Latest().FromPeers
			t.Logf("the client sent %s, %s left its interface; the agent had %s from nodes", share(gave), share(passed.Out), share(took))
			if least := int64(tc.gives * float64(m.Image.Root.Size)); gave < least || passed.Out < least || took < least {
				t.Errorf("want at least %s of each", share(least))
			}
		})
	}
}

// startOutsider has a client of others stand ready on a node, with the .torrent that people are given.
func (h *hall) startOutsider(m *Samara, node int, role peer.Role) *Peer {
	h.t.Helper()
	dir, err := h.subdir("outsider")
	h.must(err)
	file := filepath.Join(dir, imageName+".torrent")
	_, err = m.Controllers[0].Run(h.ctx, "image", "torrent", imageName, "--file", file)
	h.must(err)
	p, err := h.crowd.Start(h.Nodes[node], peer.Config{Role: role, Image: m.Image.Root, Torrent: file})
	h.must(err)
	h.must(h.crowd.WaitReady(h.ctx))
	return p
}

// isBlameless finds that nobody complains of a client of others.
func (h *hall) isBlameless(client *Peer) {
	h.t.Helper()
	metrics, err := getText(h.ctx, h.Heads[0], "http://"+metricsOf(h.Heads[0]).String()+"/metrics")
	h.must(err)
	if strings.Contains(metrics, `node="`+client.Host.ID+`"`) {
		h.t.Errorf("somebody complains of the client:\n%s", faultLines(metrics))
	}
}

// callsItself finds that a client of others made all calls to the cluster that last: agents are told of nobody who reports
// to no controller.
func (h *hall) callsItself(client *Peer) {
	h.t.Helper()
	list, err := sockets(client.cmd.Process.Pid)
	h.must(err)
	for _, s := range list {
		if s.local == netip.AddrPortFrom(client.Host.Address, peer.OutsiderPort) && s.remote.Port() != fleet.DefaultPorts.Swarm {
			h.t.Errorf("%s has called the client", s.remote)
		}
	}
}
