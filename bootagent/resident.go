package bootagent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// partRetry is how soon a part of the resident agent that failed is run again. The others go on.
var partRetry = backoff{Base: 5 * time.Second, Cap: 2 * time.Minute}

// reside seeds, gossips and reports until the agent is told to end, on the leavings of the machine if aside says so.
func (a *agent) reside(ctx context.Context, aside bool) error {
	if aside {
		if err := stepAside(); err != nil {
			a.log.Warn("using more than was meant", "err", err)
		}
	}
	client, _ := a.image.swarm()
	s := &steward{log: a.log, policy: &a.policy, timeline: a.timeline, giver: client, checks: &pauseChecks{}, since: time.Now()}
	a.parts.Go(func() { a.keep(ctx, "seeding", s.run) })
	a.parts.Go(func() { a.keep(ctx, "certificate", a.renew) })
	if len(a.manifest.MeshKey) > 0 {
		a.parts.Go(func() { a.keep(ctx, "gossip", a.gossip) })
	}
	<-ctx.Done()
	return nil
}

// keep runs part until ctx ends, again whenever it fails.
func (a *agent) keep(ctx context.Context, name string, part func(context.Context) error) {
	for failures := 0; ctx.Err() == nil; failures++ {
		err := part(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("stopped unasked")
		}
		wait := partRetry.delay(failures)
		a.log.Warn(fmt.Sprintf("%s: trying again in %s", name, wait.Round(time.Second)), "err", err)
		_ = sleep(ctx, wait)
	}
}

// renew replaces the certificate whenever two thirds of its life are over, or a little before. That is a matter of time
// that passes: a machine whose clock is set meanwhile renews no sooner and no later.
func (a *agent) renew(ctx context.Context) error {
	for {
		if left := time.Until(a.renewal); left > 0 {
			if err := sleep(ctx, left-rand.N(left/8+1)); err != nil {
				return err
			}
		}
		csr, err := identity.NewRequest(a.key)
		if err != nil {
			return err
		}
		var answer fleet.RenewAnswer
		if err := a.session.call(ctx, fleet.AgentRenewPath, fleet.RenewRequest{CSR: csr}, &answer); err != nil {
			return err
		}
		certificate, renewal, err := pair(answer.Certificate, a.key, a.session.now())
		if err != nil {
			return err
		}
		a.session.use(certificate)
		a.session.learn(answer.Controllers)
		if c, _ := a.image.swarm(); c != nil && len(answer.Controllers) > 0 {
			c.SetOrigins(addressesOf(answer.Controllers))
		}
		a.renewal = renewal
	}
}
