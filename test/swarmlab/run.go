package swarmlab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/test/lab"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// seed makes the images of all runs.
const seed = 4

// lookEvery is how often links are counted, and origins asked, during a run.
const lookEvery = 500 * time.Millisecond

// patience is how long a run may take: so many times its limit, and a while for what does not depend on it.
const (
	patienceTimes = 8
	patienceMore  = 2 * time.Minute
)

// Tools are the programs that runs need.
type Tools struct {
	Samara string // the product
	Peer   string // becomes a peer when its first argument is peer.Word
	Prefix string // of the names of networks and directories
}

// A source is a system's image on its way out of a site's heads.
type source interface {
	image() fleet.Blob
	config(ctx context.Context, node int) (peer.Config, error) // what the peer on a node is told
	sent(ctx context.Context) []int64                          // by each head, in bytes of payload; nil if it is not known
	kill(count int) ([]*lab.Host, error)                       // ends so many heads, and names them
}

// A run is a plan being carried out.
type run struct {
	Plan
	tools  Tools
	site   *Site
	crowd  *Crowd
	source source
	nodes  []*Peer

	mu     sync.Mutex
	base   passed
	looks  []passed
	killed map[*lab.Host]bool
}

// passed is what had passed the links at a time, in bytes.
type passed struct {
	at     time.Time
	heads  []int64 // out of each
	uplink int64   // into all racks
}

// Run carries a plan out, and leaves nothing behind.
func (t Tools) Run(ctx context.Context, p Plan) (result Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, patienceTimes*p.Limit(p.Size, 0)+time.Duration(p.Nodes)*p.Stagger+patienceMore)
	defer cancel()
	r := &run{Plan: p, tools: t, killed: map[*lab.Host]bool{}}
	if r.site, err = OpenSite(t.Prefix, p.Layout); err != nil {
		return Result{}, err
	}
	r.crowd = NewCrowd(r.site, t.Peer)
	defer func() {
		r.crowd.Close()
		err = errors.Join(err, r.site.Close())
	}()
	if err := r.prepare(ctx); err != nil {
		return Result{}, fmt.Errorf("%s: prepare: %w", p, err)
	}
	processors, err := r.carryOut(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", p, err)
	}
	return r.result(ctx, processors)
}

// prepare has everything stand ready: the image on the heads, a process on every node, limits on the links.
func (r *run) prepare(ctx context.Context) (err error) {
	if r.System == Ours {
		r.source, err = serveSamara(ctx, r.site, r.tools.Samara, r.Size)
	} else {
		r.source, err = servePlain(ctx, r.crowd, r.System, r.Size)
	}
	if err != nil {
		return err
	}
	for i, h := range r.site.Nodes {
		c, err := r.source.config(ctx, i)
		if err != nil {
			return err
		}
		p, err := r.crowd.Start(h, c)
		if err != nil {
			return err
		}
		r.nodes = append(r.nodes, p)
	}
	if err := r.crowd.WaitReady(ctx); err != nil {
		return err
	}
	if err := r.site.Limit(); err != nil {
		return err
	}
	r.base, err = r.look()
	return err
}

// carryOut lets the nodes begin, does to them what is planned, and returns once those who can have the image.
func (r *run) carryOut(ctx context.Context) (Processors, error) {
	mark, err := markProcessors()
	if err != nil {
		return Processors{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.arrive(ctx) })
	for _, f := range r.Faults {
		g.Go(func() error { return r.strike(ctx, f) })
	}
	watching, enough := context.WithCancel(ctx)
	g.Go(func() error { return r.watch(watching) })
	var processors Processors
	g.Go(func() (err error) {
		defer enough()
		if err := r.crowd.WaitWhole(ctx, r.nodes); err != nil {
			return err
		}
		if processors, err = mark.since(); err != nil {
			return err
		}
		return r.crowd.WaitProved(ctx, r.nodes)
	})
	return processors, g.Wait()
}

// arrive lets nodes begin as planned.
func (r *run) arrive(ctx context.Context) error {
	first := r.nodes[:len(r.nodes)-r.Late]
	for i, p := range first {
		if i > 0 && r.Stagger > 0 {
			select {
			case <-time.After(r.Stagger):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := p.Begin(); err != nil {
			return err
		}
	}
	if r.Late == 0 {
		return nil
	}
	err := r.crowd.Wait(ctx, "a first node to have the image", func() bool {
		for _, p := range first {
			if !p.whole.IsZero() {
				return true
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	for _, p := range r.nodes[len(first):] {
		if err := p.Begin(); err != nil {
			return err
		}
	}
	return nil
}

// strike waits for a fault's time and does it.
func (r *run) strike(ctx context.Context, f Fault) error {
	size := float64(r.source.image().Size)
	err := r.crowd.Wait(ctx, fmt.Sprintf("%.0f %% of the image", 100*f.At), func() bool {
		var sum float64
		for _, p := range r.nodes {
			sum += float64(p.latest.Have)
		}
		return sum/float64(len(r.nodes)) >= f.At*size
	})
	if err != nil {
		return err
	}
	if f.Action == KillHead {
		heads, err := r.source.kill(f.Count)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, h := range heads {
			r.killed[h] = true
		}
		return err
	}
	for i := range f.Count { // evenly over the racks
		if err := r.nodes[(i+1)*len(r.nodes)/(f.Count+1)].Hurt(f.Action); err != nil {
			return err
		}
	}
	return nil
}

// watch looks at the links until ctx ends.
func (r *run) watch(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l, err := r.look()
		if err != nil {
			return err
		}
		r.looks = append(r.looks, l)
		r.source.sent(ctx) // which remembers it, for the time after a controller's death
	}
}

// look counts what has passed the links.
func (r *run) look() (passed, error) {
	l := passed{at: time.Now()}
	for _, h := range r.site.Heads {
		t, err := h.Link.Traffic()
		if err != nil {
			return l, err
		}
		l.heads = append(l.heads, t.Out)
	}
	for _, k := range r.site.Racks {
		t, err := k.Uplink.Traffic()
		if err != nil {
			return l, err
		}
		l.uplink += t.In
	}
	return l, nil
}
