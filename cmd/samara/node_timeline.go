package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newNodeTimeline(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "timeline NODE",
		Short: "Show the phases of a node's newest boot",
		Long: `Show the phases of a node's newest boot: when each was reached, how long it took to get there,
where the bytes of the image came from, and in the last line why it fails, if it does.
With -o json, all boots that are remembered.`,
		Example:           `  samara node timeline n1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.names(1, nodeNames),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := nodes().one(args[0])
			if err != nil {
				return err
			}
			if err := g.checkOutput(false); err != nil {
				return err
			}
			return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
				boots, err := client.Boots(ctx, name)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: boots, text: func(w io.Writer) error {
					if len(boots) == 0 || len(boots[0].Phases) == 0 {
						_, err := fmt.Fprintf(w, "%s has not been seen to boot since its controllers started\n", name)
						return err
					}
					return writeTimeline(w, boots[0])
				}})
			})
		},
	}
}

// barWidth is the length of the longest bar of a timeline, in characters.
const barWidth = 40

// writeTimeline prints one boot, which has a phase.
func writeTimeline(w io.Writer, b fleet.Boot) error {
	first := b.Phases[0].At
	var longest time.Duration
	for i := 1; i < len(b.Phases); i++ {
		longest = max(longest, b.Phases[i].At.Sub(b.Phases[i-1].At))
	}
	head := table{}
	head.add("node", b.Node)
	head.add("boot", orDash(b.ID))
	head.add("mac", b.MAC.String())
	head.add("began", first.Format(time.RFC3339))
	if err := head.write(w); err != nil {
		return err
	}
	t := table{head: []string{"PHASE", "AT", "TOOK", "", "DETAIL"}}
	for i, p := range b.Phases {
		took, bar := "", ""
		if i > 0 {
			d := max(0, p.At.Sub(b.Phases[i-1].At))
			took, bar = seconds(d), strings.Repeat("#", barLength(d, longest))
		}
		t.add(string(p.Phase), seconds(p.At.Sub(first)), took, bar, p.Detail)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	if err := t.write(w); err != nil {
		return err
	}
	return writeBytes(w, b)
}

// writeBytes prints where the bytes of the image came from, and the failure.
func writeBytes(w io.Writer, b fleet.Boot) error {
	var lines strings.Builder
	if s := b.Swarm; s.Have > 0 || s.FromOrigin > 0 || s.FromPeers > 0 {
		state := "so far"
		if s.Complete {
			state = "complete"
		}
		fmt.Fprintf(&lines, "\nimage: %s %s; %s from the origin, %s from peers; %s given to peers\n",
			size(s.Have), state, size(s.FromOrigin), size(s.FromPeers), size(s.Uploaded))
	}
	if b.Failure != "" {
		fmt.Fprintf(&lines, "\nfailing: %s\n", printable(b.Failure))
	}
	_, err := io.WriteString(w, lines.String())
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// barLength returns how many characters stand for d where barWidth stand for longest: at least one for anything over 0.
func barLength(d, longest time.Duration) int {
	if d <= 0 || longest <= 0 {
		return 0
	}
	return max(1, int(int64(barWidth)*int64(d/time.Microsecond)/max(1, int64(longest/time.Microsecond))))
}
