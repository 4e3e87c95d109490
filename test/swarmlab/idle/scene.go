package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/test/swarmlab"
)

// present is how many nodes run an agent.
const present = 8

// lookEvery is how often agents are looked at: a thread that ends between two looks takes what it did since the first
// with it. Looking wakes nobody.
const lookEvery = 5 * time.Second

// bootPatience is how long it may take until all agents have the image.
const bootPatience = 3 * time.Minute

// A scene is a cluster of one controller that knows so many nodes. All but those that are present are off.
type scene struct{ known int }

// scenes differ in whether all nodes gossip: in a large cluster few are given the key.
var scenes = []scene{{32}, {2000}}

func (s scene) String() string { return fmt.Sprintf("%d nodes known", s.known) }

// play has the agents fetch the image, and watches them when they have settled.
func (s scene) play(ctx context.Context, t swarmlab.Tools, o options) (agents []agent, err error) {
	site, err := swarmlab.OpenSite(t.Prefix, swarmlab.Layout{Heads: 1, Nodes: present, Racks: 2})
	if err != nil {
		return nil, err
	}
	crowd := swarmlab.NewCrowd(site, t.Peer)
	defer func() {
		crowd.Close()
		err = errors.Join(err, site.Close())
	}()
	meters, err := s.boot(ctx, site, crowd, t.Samara, o.image<<20)
	if err != nil {
		return nil, err
	}
	say("every agent has the image; it settles for %s and is then watched for %s", o.settle, o.watch)
	if err := quiet(ctx, crowd, o.settle); err != nil {
		return nil, err
	}
	for _, m := range meters {
		if err := m.begin(); err != nil {
			return nil, err
		}
	}
	for end := time.Now().Add(o.watch); time.Now().Before(end); {
		if err := quiet(ctx, crowd, min(lookEvery, time.Until(end))); err != nil {
			return nil, err
		}
		for _, m := range meters {
			if err := m.look(); err != nil {
				return nil, err
			}
		}
	}
	for _, m := range meters {
		a, err := m.end()
		if err != nil {
			return nil, err
		}
		a.Known = s.known
		agents = append(agents, a)
	}
	return agents, nil
}

// boot makes the cluster, and returns once every node that is present has the image, with a meter for each.
func (s scene) boot(ctx context.Context, site *swarmlab.Site, crowd *swarmlab.Crowd, samara string, image int64) ([]*meter, error) {
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	m, err := swarmlab.FormSamara(ctx, site, samara, "c", site.Heads...)
	if err != nil {
		return nil, err
	}
	const seed = 1
	if err := m.Import(ctx, image, seed); err != nil {
		return nil, err
	}
	nodes := make([]int, present)
	for i := range nodes {
		nodes[i] = i
	}
	if err := m.AddNodes(ctx, nodes...); err != nil {
		return nil, err
	}
	if err := s.addAbsent(ctx, m); err != nil {
		return nil, err
	}
	var peers []*swarmlab.Peer
	var meters []*meter
	for _, n := range nodes {
		c, err := m.Config(ctx, n)
		if err != nil {
			return nil, err
		}
		c.Dir = filepath.Join(site.Dir, "agent"+strconv.Itoa(n))
		if err := os.Mkdir(c.Dir, 0o755); err != nil {
			return nil, err
		}
		p, err := crowd.Start(site.Nodes[n], c)
		if err != nil {
			return nil, err
		}
		peers, meters = append(peers, p), append(meters, &meter{node: site.Nodes[n].ID, dir: c.Dir})
	}
	return meters, crowd.WaitWhole(ctx, peers)
}

// addAbsent adds the nodes that are off, in a network of their own, which is large enough for them.
func (s scene) addAbsent(ctx context.Context, m *swarmlab.Samara) error {
	absent := s.known - present
	at := m.Controllers[0]
	if _, err := at.Run(ctx, "network", "add", "absent", "--subnet", "10.78.0.0/16"); err != nil {
		return err
	}
	names := fmt.Sprintf("absent[%04d-%04d]", 1, absent)
	if _, err := at.Run(ctx, "node", "add", names, "--ip", "10.78.0.1"); err != nil {
		return err
	}
	return at.WaitStatus(ctx, func(st api.Status) bool {
		known := 0
		for _, n := range st.Nodes {
			known += n
		}
		return known == s.known
	})
}

// quiet lets time pass. It fails if an agent does.
func quiet(ctx context.Context, crowd *swarmlab.Crowd, d time.Duration) error {
	over, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := crowd.Wait(over, "nothing", func() bool { return false })
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
