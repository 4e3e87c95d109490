package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
)

func newUserAdd(g *global) *cobra.Command {
	var role, dir, why string
	var days int
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Let a person or a program ask from afar",
		Long: `Let a person, or a program that acts for one, ask controllers from afar with --server and --identity. The private
key is made here and goes nowhere else; a controller signs for it. A viewer may see all but secrets
and ask what a change would do, an operator may change the configuration, an admin may change who
belongs to the cluster too. Who has a certificate already gets another, for another machine or
program, with the same role. Each ends by itself; samara user delete takes all of a user's back.`,
		Example: `  samara user add mia --role operator --days 30 --dir mia
  samara node list --server 10.1.0.1 --identity mia
  samara user add mia --role operator --dir mia-laptop -m 'her new laptop'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			if days < 1 || days > int(api.MaxUserLife/day) {
				return usagef("--days %d: want 1 to %d", days, api.MaxUserLife/day)
			}
			if err := fleet.CheckUserName(args[0]); err != nil {
				return err
			}
			r := api.UserRequest{Name: args[0], Role: fleet.UserRole(role), Life: int64(days) * int64(day/time.Second)}
			if dir == "" {
				dir = args[0]
			}
			return g.addUser(c, r, dir, why)
		},
	}
	f := c.Flags()
	f.StringVar(&role, "role", string(fleet.UserViewer), "what they may do: viewer, operator or admin")
	f.IntVar(&days, "days", int(api.DefaultUserLife/day), "how many days from now the certificate holds")
	f.StringVar(&dir, "dir", "", "`directory` to make, for --identity (NAME if empty)")
	whyFlag(c, &why)
	completeFlag(c, "role", cobra.FixedCompletions([]string{string(fleet.UserViewer), string(fleet.UserOperator), string(fleet.UserAdmin)}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// addUser makes a key, has it signed, and writes the directory that --identity wants.
func (g *global) addUser(c *cobra.Command, r api.UserRequest, dir, why string) (err error) {
	// It is made first, so that no certificate is issued that has no place.
	if err := os.Mkdir(dir, 0o700); errors.Is(err, os.ErrExist) {
		return usagef("user add %s: %s is there already; --dir names another", r.Name, dir)
	} else if err != nil {
		return fmt.Errorf("user add %s: %w", r.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	key, keyPEM, err := identity.NewKey()
	if err != nil {
		return err
	}
	if r.CSR, err = identity.NewRequest(key); err != nil {
		return err
	}
	return g.ask(c.Context(), func(ctx context.Context, client *api.Client) error {
		made, err := client.AddUser(ctx, r, api.ChangeOptions{Why: why})
		if err != nil {
			return err
		}
		if err := errors.Join(
			os.WriteFile(filepath.Join(dir, caFile), made.CA, 0o600),
			os.WriteFile(filepath.Join(dir, certificateFile), made.Certificate, 0o600),
			os.WriteFile(filepath.Join(dir, keyFile), keyPEM, 0o600), syncDir(dir)); err != nil {
			return fmt.Errorf("user add %s: %w", r.Name, err)
		}
		data := map[string]any{"name": r.Name, "role": r.Role, "serial": made.Serial, "expires": made.Expires, "revision": made.Revision, "dir": dir}
		return g.print(c.OutOrStdout(), view{data: data, text: func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "added user %s, %s, until %s: --identity %s\n", r.Name, r.Role, made.Expires.Local().Format(time.DateTime), dir)
			return err
		}})
	})
}

const day = 24 * time.Hour

// The files of a directory for --identity.
const (
	caFile          = "ca.crt"
	certificateFile = "admin.crt"
	keyFile         = "admin.key"
)
