package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/api"
)

// leaderPatience is how long a read may take before it is asked whether anyone leads: a little longer than controllers
// look for a leader.
const leaderPatience = 8 * time.Second

// reading are the flags of a verb that only tells.
type reading struct {
	consistency string
	stale       bool
}

func (r *reading) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.consistency, "consistency", "", "`promise` of the answer: default (all that was acknowledged), linearizable (the same, proved by a majority) or stale (what the asked controller has)")
	f.BoolVar(&r.stale, "stale", false, "short for --consistency stale")
	completeFlag(c, "consistency", cobra.FixedCompletions([]string{string(api.Stale), string(api.Default), string(api.Linearizable)}, cobra.ShellCompDirectiveNoFileComp))
}

// level returns what the flags ask for; "" if they say nothing.
func (r *reading) level() (api.Consistency, error) {
	if r.consistency == "" {
		if r.stale {
			return api.Stale, nil
		}
		return "", nil
	}
	level, err := api.ParseConsistency(r.consistency)
	if err != nil {
		return "", fmt.Errorf("--consistency: %w", err)
	}
	if r.stale && level != api.Stale {
		return "", usagef("--stale goes without --consistency %s", level)
	}
	return level, nil
}

// read asks for what a verb tells, which do prints once it has all of it. Where nobody leads and no flag insists, it is
// the last known state, and the standard error says so.
func (g *global) read(c *cobra.Command, r *reading, do func(context.Context, *api.Client) error) error {
	level, err := r.level()
	if err != nil {
		return err
	}
	if level != "" {
		return g.askWith(c.Context(), level, do)
	}
	ctx, cancel := context.WithTimeout(c.Context(), g.timeout)
	defer cancel()
	err = g.askSoon(ctx, do)
	if !leaderless(err) && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return g.cured(err)
	}
	var s api.Status
	if e := g.askWith(ctx, api.Stale, func(ctx context.Context, client *api.Client) (err error) {
		s, err = client.Status(ctx)
		return err
	}); e != nil {
		return g.cured(err)
	}
	why := "no controller leads"
	switch {
	case !leaderless(err) && s.Quorum:
		return g.askWith(ctx, api.Default, do) // the answer is only long
	case s.Leader != "":
		why = "the leader, " + s.Leader + ", does not answer"
	}
	if _, err := fmt.Fprintf(c.ErrOrStderr(), "samara: %s; this is the last known state, revision %d\n", printable(why), s.Revision); err != nil {
		return err
	}
	return g.askWith(ctx, api.Stale, do)
}

// leaderless reports whether a read was refused because nobody could promise that it is new.
func leaderless(err error) bool {
	return errors.Is(err, api.ErrNotLeader) || errors.Is(err, api.ErrUnavailable)
}

// askSoon runs do with a client, and no longer than an election may take. Its errors are the client's own.
func (g *global) askSoon(ctx context.Context, do func(context.Context, *api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	client, err := g.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	return do(ctx, client)
}

// askWith is ask with a promise.
func (g *global) askWith(ctx context.Context, level api.Consistency, do func(context.Context, *api.Client) error) error {
	return g.ask(ctx, func(ctx context.Context, client *api.Client) error {
		client.Consistency = level
		return do(ctx, client)
	})
}
