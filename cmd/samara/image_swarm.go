package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// Intervals of a watched swarm.
const (
	swarmEvery     = 2 * time.Second // between two looks
	swarmLineEvery = 5               // looks; elsewhere than on a terminal, a line at most so often
)

func newImageSwarm(g *global) *cobra.Command {
	var r reading
	var watch bool
	c := &cobra.Command{
		Use:   "swarm NAME[:VERSION]",
		Short: "Show how an image spreads over the nodes",
		Long: `Show how an image spreads over the nodes: who holds how much of it, by rack; how much of it each
controller sent to nodes, in images (1.00 is each byte once, however many nodes there are), and, under
COPIED, to other controllers; which nodes lag and why; and which peers others complain about. It is one
line if every node holds the image and nothing is wrong.

With --watch it is shown anew every two seconds until it is interrupted; where the standard output is
no terminal, as a line each ten seconds if something has changed.`,
		Example: `  samara image swarm debian
  samara image swarm debian:3 --watch
  samara image swarm debian -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, imageNames),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := imageArg(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if watch {
				return g.watchSwarm(c, ref)
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				v, err := client.Swarm(ctx, ref)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: v, text: func(w io.Writer) error {
					_, err := io.WriteString(w, swarmText(v, time.Now()))
					return err
				}})
			})
		},
	}
	r.add(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show it anew every two seconds until interrupted")
	return c
}

// watchSwarm shows a swarm again and again until c's context ends.
func (g *global) watchSwarm(c *cobra.Command, ref fleet.ImageRef) error {
	if g.output != "table" && g.output != "json" {
		return usagef("--output %q: with --watch it is table or json", g.output)
	}
	w := &swarmWatch{out: c.OutOrStdout(), said: c.ErrOrStderr(), json: g.output == "json", now: time.Now}
	if !w.json && g.terminal(w.out) {
		w.height = func() int { return terminalHeight(w.out) }
	}
	client, err := g.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	client.Consistency = api.Stale // who holds what is no decision: whichever controller answers knows it
	tick := time.NewTicker(swarmEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(c.Context(), g.timeout)
		v, err := client.Swarm(ctx, ref)
		cancel()
		if c.Context().Err() != nil {
			return c.Context().Err()
		}
		if err := w.look(v, err); err != nil {
			return g.cured(err)
		}
		select {
		case <-tick.C:
		case <-c.Context().Done():
			return c.Context().Err()
		}
	}
}

// terminalHeight returns how many lines a terminal has; a usual number if it does not say.
func terminalHeight(w io.Writer) int {
	const usual = 24
	f, ok := w.(*os.File)
	if !ok {
		return usual
	}
	_, height, err := term.GetSize(int(f.Fd()))
	if err != nil || height < 2 {
		return usual
	}
	return height
}

// A swarmWatch shows one look at a swarm after another.
type swarmWatch struct {
	out, said io.Writer
	json      bool
	height    func() int // of the terminal that is drawn over; nil where each look is a line of its own
	now       func() time.Time

	drawn int    // lines that the last look left on the terminal
	last  string // line that was printed
	since int    // looks since then
	begun bool
	lost  bool // no controller answered the last look
}

// look shows v. An error that another attempt may mend is told once, and not returned, unless the first look met it.
func (w *swarmWatch) look(v api.SwarmView, err error) error {
	switch {
	case err != nil && (!w.begun || !passing(err)):
		return err
	case err != nil:
		if w.lost {
			return nil
		}
		w.lost, w.drawn = true, 0
		_, err = fmt.Fprintf(w.said, "samara: %s; trying again\n", printable(err.Error()))
		return err
	}
	w.begun, w.lost = true, false
	switch {
	case w.json:
		return w.line(v)
	case w.height != nil:
		return w.draw(swarmText(v, w.now()))
	}
	return w.tell(swarmLine(v))
}

// line prints v as one line of JSON.
func (w *swarmWatch) line(v api.SwarmView) error {
	b, err := encodeLine(v)
	if err != nil {
		return err
	}
	_, err = w.out.Write(b)
	return err
}

// draw puts text in the place of the last one, as much of it as the terminal has lines for.
func (w *swarmWatch) draw(text string) error {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if most := w.height() - 1; len(lines) > most {
		lines = append(lines[:most-1], "...")
	}
	var b strings.Builder
	if w.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", w.drawn) // to the first line of the last look (ECMA-48, CUU)
	}
	b.WriteString("\r\x1b[J") // and clear from there on (ECMA-48, ED)
	b.WriteString(strings.Join(lines, "\n") + "\n")
	w.drawn = len(lines)
	_, err := io.WriteString(w.out, b.String())
	return err
}

// tell prints a line unless it says what the last one did, or comes too soon after it.
func (w *swarmWatch) tell(line string) error {
	w.since++
	if line == w.last || w.last != "" && w.since < swarmLineEvery {
		return nil
	}
	w.last, w.since = line, 0
	_, err := fmt.Fprintln(w.out, line)
	return err
}
