package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/samara-hpc/samara/internal/api"
)

// A Cluster is several controllers, each on a host of its own.
type Cluster struct {
	Controllers []*Controller
}

// AddCluster makes that many hosts, and names a controller on each that keeps its files in dir. Nothing runs yet.
func (n *Network) AddCluster(count int, binary, dir string) (*Cluster, error) {
	c := &Cluster{}
	for i := range count {
		h, err := n.AddHost(i + 1)
		if err != nil {
			return nil, err
		}
		c.Controllers = append(c.Controllers, NewController(h, binary, dir))
	}
	return c, nil
}

// Form makes the controllers one cluster of that name, and returns once all of them vote. The key is that of
// Controller.Init.
func (c *Cluster) Form(ctx context.Context, name, publicKey string) error {
	first := c.Controllers[0]
	if err := first.Init(ctx, name, publicKey); err != nil {
		return err
	}
	if err := first.Serve(ctx); err != nil {
		return err
	}
	for _, further := range c.Controllers[1:] {
		if err := further.Join(ctx, first); err != nil {
			return err
		}
		if err := further.Serve(ctx); err != nil {
			return err
		}
	}
	return c.WaitWhole(ctx)
}

// WaitWhole waits until every controller serves, and sees that all of them live and vote.
func (c *Cluster) WaitWhole(ctx context.Context) error {
	last := errors.New("nobody was asked")
	err := poll(ctx, 200*time.Millisecond, func() (bool, error) {
		for _, one := range c.Controllers {
			if err := one.proc.Ended(); err != nil {
				return false, err
			}
			if last = one.seesWhole(ctx, len(c.Controllers)); last != nil {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("the controllers do not find together: %w; %w", err, last)
	}
	return nil
}

// seesWhole returns what the controller lacks of a cluster of that many voters; nil if nothing.
func (c *Controller) seesWhole(ctx context.Context, voters int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client := c.Client()
	defer client.Close()
	fail := func(err error) error { return fmt.Errorf("%s: %w", c.Host.ID, err) }
	status, err := client.Status(ctx)
	if err != nil {
		return fail(err)
	}
	all, err := client.Controllers(ctx)
	if err != nil {
		return fail(err)
	}
	if !status.Quorum || len(all) != voters {
		return fail(fmt.Errorf("it sees %d controllers of %d, and a quorum: %v", len(all), voters, status.Quorum))
	}
	sick := slices.IndexFunc(all, func(v api.ControllerView) bool {
		return !v.Alive || v.Role != api.RoleLeader && v.Role != api.RoleVoter
	})
	if sick >= 0 {
		return fail(fmt.Errorf("it sees %+v", all[sick]))
	}
	return nil
}

// Leader returns the controller that leads by its own word. The error says that none does.
func (c *Cluster) Leader(ctx context.Context) (*Controller, error) {
	var errs []error
	for _, one := range c.Controllers {
		asking, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		client := one.Client()
		status, err := client.Status(asking)
		client.Close()
		cancel()
		if err == nil && status.Quorum && status.Leader == one.Host.ID {
			return one, nil
		}
		if err == nil {
			err = fmt.Errorf("%s calls %q its leader", one.Host.ID, status.Leader)
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("no controller leads: %w", errors.Join(errs...))
}

// Kill ends the controller as a power failure does, and returns once it is gone.
func (c *Controller) Kill() { c.proc.Kill() }
