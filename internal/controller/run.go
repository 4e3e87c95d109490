package controller

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// A part is something that a controller runs for as long as it lives.
type part struct {
	name string
	run  func(context.Context) error
}

// runAll runs parts until ctx ends or one of them fails; a part that returns unasked has failed. The error names it.
func runAll(ctx context.Context, parts []part) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range parts {
		g.Go(func() error {
			err := p.run(ctx)
			if err == nil && ctx.Err() == nil {
				err = errors.New("stopped unasked")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}
