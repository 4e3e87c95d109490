package controller

import (
	"context"

	"github.com/samara-hpc/samara/fleet"
)

// eachState calls do with the state, at once and again after changes, several of them at a time if do is slow. It returns
// nil when ctx ends, the error of do, or why there are no more states.
func eachState(ctx context.Context, wait func(context.Context, fleet.Revision) (fleet.State, error), do func(fleet.State) error) error {
	for seen := fleet.Revision(0); ; {
		state, err := wait(ctx, seen)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		seen = state.Revision()
		if err := do(state); err != nil {
			return err
		}
	}
}
