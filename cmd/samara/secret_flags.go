package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// readSecrets reads what is not to stand in the command line, a line for each.
func (o *fieldFlags) readSecrets(c *cobra.Command) error {
	for _, v := range o.all {
		if !v.field.Secret || len(v.words) != 1 || v.words[0] != "-" {
			continue
		}
		answer, err := readSecret(c.Context(), v.field.Doc, c.InOrStdin(), c.ErrOrStderr())
		switch {
		case err != nil:
			return fmt.Errorf("--%s: %w", v.flag, err)
		case answer == "":
			return usagef("--%s: an empty line; '' in the command line takes away what is there", v.flag)
		}
		v.words = []string{answer}
	}
	return nil
}

// readSecret reads one line, which a terminal does not show.
func readSecret(ctx context.Context, what string, in io.Reader, out io.Writer) (string, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return newAsker(in, io.Discard).line(ctx, "", "")
	}
	if _, err := fmt.Fprintf(out, "%s: ", what); err != nil {
		return "", err
	}
	b, err := term.ReadPassword(int(f.Fd()))
	_, _ = fmt.Fprintln(out) // the person's own was not shown
	return string(b), err
}
