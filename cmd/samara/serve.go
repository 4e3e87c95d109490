package main

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/internal/controller"
)

// defaultDir holds what a controller must keep.
const defaultDir = "/var/lib/samara"

type serveOptions struct {
	dir, loaderDir, logLevel, logFormat, metrics string
	interfaces                                   []string
	keepBlobs                                    time.Duration
}

func newServe(g *global) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run this machine's controller",
		Long: `Run this machine's controller until a signal ends it. It needs root's rights for the ports of DHCP
and TFTP. Logs go to the standard error. Metrics are told on the control port, to viewers; --metrics
tells them to whoever asks as well, in clear: numbers and names, and no secrets.`,
		Example: `  samara serve
  samara serve --interface eth1 --log-level debug
  samara serve --metrics 10.1.0.1:7605`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !g.local() {
				return usagef("serve: --server names another controller; this one listens where samara init or join said")
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
				return usagef("--log-level %q: want debug, info, warn or error", o.logLevel)
			}
			options := &slog.HandlerOptions{Level: level}
			var handler slog.Handler
			switch o.logFormat {
			case "text":
				handler = slog.NewTextHandler(c.ErrOrStderr(), options)
			case "json":
				handler = slog.NewJSONHandler(c.ErrOrStderr(), options)
			default:
				return usagef("--log-format %q: want text or json", o.logFormat)
			}
			var metrics netip.AddrPort
			if o.metrics != "" {
				var err error
				if metrics, err = netip.ParseAddrPort(o.metrics); err != nil {
					return usagef("--metrics %q: want an address of this machine and a port, such as 10.1.0.1:7605", o.metrics)
				}
			}
			return g.serve(c.Context(), controller.Config{
				Dir: o.dir, Socket: g.socket, Interfaces: trimmed(o.interfaces), LoaderDir: o.loaderDir,
				Agent: g.agent, Version: g.version, Logger: slog.New(handler), CollectAfter: o.keepBlobs,
				Metrics: metrics,
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", defaultDir, "`directory` that samara init, join or restore made")
	f.StringSliceVar(&o.interfaces, "interface", nil, "network `port` to answer boots on (repeatable; those of the cluster's networks if none is named)")
	f.StringVar(&o.loaderDir, "loader-dir", "", "`directory` with iPXE's binaries (where the distribution's package puts them if empty)")
	f.DurationVar(&o.keepBlobs, "keep-blobs", 10*time.Minute, "how long a blob stays on the disk that no image and no node needs any more")
	f.StringVar(&o.metrics, "metrics", "", "`address:port` where whoever asks is told metrics, in clear, at /metrics (nowhere if empty)")
	f.StringVar(&o.logLevel, "log-level", "info", "least `level` to log: debug, info, warn, error")
	f.StringVar(&o.logFormat, "log-format", "text", "`form` of the log: text or json")
	completeFlag(c, "log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(c, "log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// trimmed returns words without blanks around them and without empty ones.
func trimmed(words []string) []string {
	var out []string
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}
