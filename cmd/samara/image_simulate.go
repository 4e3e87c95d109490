package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/seeder/simulate"
)

func newImageSimulate(g *global) *cobra.Command {
	var o simulateFlags
	var r reading
	c := &cobra.Command{
		Use:   "simulate [NAME[:VERSION]] --nodes N",
		Short: "Foretell how fast an image reaches a cluster",
		Long: `Foretell how fast an image reaches all nodes of a cluster, and how much of it the controllers send.
It is computed here, with the program parts that decide in a controller who is fed by whom, and a
model of nodes and links; nothing is sent to any node. The image is one that was imported, of which
only the size is asked; with --size, no controller is needed. Equal flags give equal results.

Links are in bits per second, as network people say them: 10G, 2.5G, 100M. Sizes are in bytes: 4G, 750MiB.

--arrival says when nodes begin to want the image: at-once; a duration, over which they come evenly;
WAVESxDURATION, such as 10x30s, for equal waves so far apart; or a list of PART@TIME and
PART@TIME+DURATION, such as 80%@0s,20%@1m+10s. Nodes come rack after rack.

--fail and --freeze take how many nodes, 100 or 2%, and when: 2%@5s. Without a time it is half-way
through the shortest time that the links allow.`,
		Example: `  samara image simulate debian --nodes 5000 --rack-size 40 --link 10G
  samara image simulate debian:3 --nodes 2000 --link 1G --uplink 40G --controllers 3 --controller-link 25G
  samara image simulate --size 4G --nodes 10000 --arrival 10x30s --fail 2%
  samara image simulate --size 4G --nodes 1000 --slow 5%:1G --lose-controller 3s --controllers 3 -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.names(1, imageNames),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			f := foretold{Image: "an image"}
			s, err := o.scenario(c.Flags().Changed)
			if err != nil {
				return err
			}
			switch {
			case len(args) == 0 && o.size == "":
				return usagef("image simulate: which image? Name one, or say how large it is: --size 4G")
			case len(args) == 1 && o.size != "":
				return usagef("image simulate: --size goes without an image, whose size is known")
			case len(args) == 1:
				if f.Image, err = g.sizeUp(c, &r, &s, args[0]); err != nil {
					return err
				}
			}
			if err := o.whenToFail(&s); err != nil {
				return err
			}
			f.Scenario = s
			if f.Result, err = g.simulate(c, s); err != nil {
				return err
			}
			return g.print(c.OutOrStdout(), view{data: f, text: func(w io.Writer) error { return writeForetold(w, f) }})
		},
	}
	o.add(c)
	r.add(c)
	return c
}

// foretold is what image simulate prints.
type foretold struct {
	Image    string            `json:"image"`
	Scenario simulate.Scenario `json:"scenario"`
	Result   simulate.Result   `json:"result"`
}

// sizeUp asks for the size of an image and, if s does not say so, how many controllers there are. It returns the
// version's full name.
func (g *global) sizeUp(c *cobra.Command, r *reading, s *simulate.Scenario, arg string) (string, error) {
	ref, err := imageArg(arg)
	if err != nil {
		return "", err
	}
	err = g.read(c, r, func(ctx context.Context, client *api.Client) error {
		i, err := client.Image(ctx, ref)
		if err != nil {
			return err
		}
		v := i.Latest()
		ref.Version, s.Size = v.Number, v.Root.Size
		if s.Controllers == 0 {
			cluster, err := client.Cluster(ctx)
			if err != nil {
				return err
			}
			s.Controllers = min(len(cluster.Controllers), simulate.MaxControllers)
		}
		return nil
	})
	return fleet.ImageRef{Name: ref.Name, Version: ref.Version}.String(), err
}

// simulate runs s and shows how far it is.
func (g *global) simulate(c *cobra.Command, s simulate.Scenario) (simulate.Result, error) {
	p := newProgress(c.ErrOrStderr(), g.terminal(c.ErrOrStderr()))
	defer p.end()
	mean := float64(s.Size) // of a piece, roughly; only the ratio matters
	s.Observe = func(is simulate.Progress) {
		if is.Total == 0 {
			return
		}
		total := int64(mean * float64(s.Nodes))
		p.show(api.Progress{Step: "simulated", Done: int64(float64(total) * float64(is.Pieces) / float64(is.Total)), Total: total,
			Note: fmt.Sprintf("%s in the swarm, %d nodes complete", span(is.Now), is.Complete)})
	}
	result, err := simulate.Run(c.Context(), s)
	if err != nil {
		err = fmt.Errorf("image simulate: %w", err)
		if errors.Is(err, simulate.ErrScenario) {
			err = usageError{err}
		}
		return result, err
	}
	return result, nil
}
