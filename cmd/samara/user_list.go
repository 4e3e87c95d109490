package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

func newUserList(g *global) *cobra.Command {
	var r reading
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List people and programs that may ask from afar",
		Long: `List people and programs that may ask from afar, with their role: a line for each certificate that holds,
until when it does, who had it issued and when. Root on a controller, and the identity that samara
init made, are not among them: nobody can take theirs back.`,
		Example: `  samara user list
  samara user list -o csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(true); err != nil {
				return err
			}
			return g.read(c, &r, func(ctx context.Context, client *api.Client) error {
				users, err := client.Users(ctx)
				if err != nil {
					return err
				}
				return g.print(c.OutOrStdout(), view{data: users, names: mapped(users, userName),
					table: func() table { return userTable(users) }, rows: func() table { return userRows(users) }})
			})
		},
	}
	r.add(c)
	return c
}

// userTable has a line for each certificate, under the name of its user.
func userTable(users []fleet.User) table {
	t := table{head: []string{"NAME", "ROLE", "UNTIL", "ISSUED", "BY"}}
	for _, u := range users {
		name, role := u.Name, string(u.Role)
		for _, c := range slices.Backward(u.Certificates) { // the latest first
			t.add(name, role, c.Expires.Local().Format(time.DateTime), c.Issued.Local().Format(time.DateTime), orDash(c.By))
			name, role = "", ""
		}
	}
	return t
}

// userRows has all that is known of each certificate in its line.
func userRows(users []fleet.User) table {
	t := table{head: []string{"name", "role", "until", "issued", "by", "serial"}}
	for _, u := range users {
		for _, c := range u.Certificates {
			t.add(u.Name, string(u.Role), c.Expires.Format(time.RFC3339), c.Issued.Format(time.RFC3339), c.By, c.Serial)
		}
	}
	return t
}

func userName(u fleet.User) string { return u.Name }

func userNames(ctx context.Context, c *api.Client) ([]string, error) {
	users, err := c.Users(ctx)
	return mapped(users, userName), err
}
