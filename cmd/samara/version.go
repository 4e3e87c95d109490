package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: `  samara version`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			data := map[string]string{"version": g.version, "go": runtime.Version(), "arch": runtime.GOARCH}
			return g.print(c.OutOrStdout(), view{data: data, text: func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "samara %s (%s, %s)\n", g.version, runtime.Version(), runtime.GOARCH)
				return err
			}})
		},
	}
}
