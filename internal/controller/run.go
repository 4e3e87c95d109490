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

// runAll runs parts that do not need each other until ctx ends or one of them fails. The error names the one that
// failed.
func runAll(ctx context.Context, parts []part) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range parts {
		g.Go(func() error { return p.runUntil(ctx) })
	}
	return g.Wait()
}

// runStack runs parts of which each needs those before it, until ctx ends or one of them fails. They end in reverse
// order, each after all that need it: a part never sees one that it needs end first, unless that one has failed. The
// error is then that of the one that failed, not of those that it took along.
func runStack(ctx context.Context, parts []part) error {
	base, above := parts[0], parts[1:]
	if len(above) == 0 {
		return base.runUntil(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	below, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	failed := make(chan error, 1)
	go func() {
		defer cancel()
		failed <- base.runUntil(below)
	}()
	err := runStack(ctx, above)
	end()
	if failure := <-failed; failure != nil {
		return failure
	}
	return err
}

// runUntil runs p until ctx ends. A part that returns unasked has failed.
func (p part) runUntil(ctx context.Context) error {
	err := p.run(ctx)
	if err == nil && ctx.Err() == nil {
		err = errors.New("stopped unasked")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}
