package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/config"
)

// global is what the flags of every command say.
type global struct {
	program
	socket   string
	servers  []string // to ask, any of them; none for the socket
	identity string
	output   string
	timeout  time.Duration
}

const defaultTimeout = 35 * time.Second // a little more than a controller takes at most

func newRoot(p program) *cobra.Command {
	g := &global{program: p}
	root := group("samara", "Boot a cluster into RAM",
		newInit(g), newServe(g), newStatus(g),
		group("node", "Machines that boot", newNodeAdd(g), newNodeSet(g), newNodeUnset(g), newNodeEdit(g), newNodeList(g), newNodeShow(g), newNodeCopy(g), newNodeRename(g),
			newNodeDelete(g), newNodeUnknown(g), newNodeDiscover(g), newNodeTimeline(g)),
		group("profile", "Settings that nodes share", newProfileAdd(g), newProfileSet(g), newProfileUnset(g), newProfileEdit(g), newProfileList(g), newProfileShow(g),
			newProfileCopy(g), newProfileRename(g), newProfileDelete(g)),
		newExplain(g),
		newApply(g), newPlan(g), newExport(g), newHistory(g), newDiff(g), newRollback(g),
		group("import", "Take over what is configured elsewhere", newImportWarewulf(g), newImportHosts(g), newImportCSV(g)),
		group("user", "People who ask from afar", newUserAdd(g), newUserList(g), newUserDelete(g)),
		group("image", "Root filesystems that nodes run", newImageImport(g), newImageList(g), newImageShow(g), newImageSwarm(g), newImageSimulate(g), newImageDelete(g), newImageTorrent(g)),
		group("network", "Subnets that nodes boot on", newNetworkAdd(g), newNetworkSet(g), newNetworkList(g), newNetworkShow(g), newNetworkDelete(g)),
		group("controller", "Head nodes that agree on what nodes boot", newControllerList(g), newControllerToken(g), newControllerJoin(g), newControllerRemove(g), newControllerTransfer(g), newControllerRecover(g)),
		group("cluster", "What holds for all nodes", newClusterShow(g), newClusterSet(g)),
		newWatch(g), newBackup(g), newRestore(g),
		newVersion(g), newCompletion(), newMan())
	root.Long = `Samara boots the nodes of a cluster into RAM, and lets them feed each other.

A head node that runs "samara serve" is a controller. The other commands ask it: as root over
its Unix socket, or from afar with --server and --identity. Wherever NODES is asked for, say
which, with commas between, and quotes around it all for the shell:

  n1  n[001-100,205]  r[1-2]n[01-40]   names and ranges
  @rack3  @all                         the nodes of a rack or a group, or all
  &profile=gpu  &rack!=r1              of those, the ones that use a profile, or have a value of a field
  !n7  !@rack3                         but not these

Exit status: 0 if all is well, 2 if the input is bad (nothing was changed), 1 for anything else.`
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.DisableDefaultCmd = true
	f := root.PersistentFlags()
	f.StringVar(&g.socket, "socket", p.socket, "`path` of the controller's Unix socket (SAMARA_SOCKET sets the default)")
	f.StringSliceVar(&g.servers, "server", nil, "ask the controllers at `IP:7600` instead, the first that answers (repeatable, or with commas)")
	f.StringVar(&g.identity, "identity", "", "`directory` with ca.crt, admin.crt and admin.key, for --server")
	f.StringVarP(&g.output, "output", "o", "table", "`form` of the result: table, json, yaml, or for lists name or csv")
	f.DurationVar(&g.timeout, "timeout", defaultTimeout, "how long to wait for the controller")
	root.SetFlagErrorFunc(flagError)
	completeFlag(root, "output", cobra.FixedCompletions([]string{"table", "json", "yaml", "name", "csv"}, cobra.ShellCompDirectiveNoFileComp))
	strict(root)
	return root
}

// flagError returns what is wrong with a flag of c. If there is none of that name it says which there is.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError{err}
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := config.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return usagef("%w; did you mean --%s?", err, near)
	}
	return usagef("%w; %s --help lists those that there are", err, c.CommandPath())
}

// group is a command that only has others below it.
func group(name, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			text := "unknown command " + quote(args[0]) + " for " + quote(c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				text += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usagef("%s", text)
		}}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(verbs...)
	return c
}

// strict makes every complaint about arguments a usageError that names the command.
func strict(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usagef("%s: %w; usage: %s", strings.TrimPrefix(c.CommandPath(), "samara "), err, c.UseLine())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

// local reports whether this machine's controller is asked.
func (g *global) local() bool { return len(g.servers) == 0 }

// ask runs do with a client of the controller that the flags name, and no longer than --timeout.
func (g *global) ask(ctx context.Context, do func(context.Context, *api.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	return g.askLong(ctx, do)
}

// askLong is ask without a deadline.
func (g *global) askLong(ctx context.Context, do func(context.Context, *api.Client) error) error {
	c, err := g.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	return withCure(do(ctx, c), g)
}
