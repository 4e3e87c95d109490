package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/config"
)

func newNodeEdit(g *global) *cobra.Command {
	c := newEdit(g, nodes())
	c.Use = "edit [NODES]"
	c.Short = "Change nodes in an editor"
	c.Long = `Change nodes in an editor: $VISUAL, or else $EDITOR, or else vi. It shows what the nodes say themselves, as YAML. When
it is closed, all changes are made, or none. If there is a fault, the editor opens again, with the fault
in a comment; an unchanged text makes no change. A node that is taken out of the text is deleted, after a
question. Passwords are not shown, and stay as they are unless the text has others.`
	c.Example = `  samara node edit n1
  samara node edit '@rack3' -m 'after the move'`
	return c
}

func newProfileEdit(g *global) *cobra.Command {
	c := newEdit(g, profiles())
	c.Use = "edit [PROFILES]"
	c.Short = "Change profiles in an editor"
	c.Long = `Change profiles in an editor: $VISUAL, or else $EDITOR, or else vi. It shows what they say, as YAML. When it is closed, all
changes are made, or none. If there is a fault, the editor opens again, with the fault in a comment; an
unchanged text makes no change. A profile that is taken out of the text is deleted, after a question.`
	c.Example = `  samara profile edit default`
	return c
}

// newEdit returns the verb edit of a noun, without its texts.
func newEdit(g *global, of noun) *cobra.Command {
	var o api.ChangeOptions
	var yes bool
	c := &cobra.Command{
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: of.complete(g, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(false); err != nil {
				return err
			}
			e := editor{command: c, noun: of, yes: yes || o.DryRun, global: g}
			if err := e.load(args); err != nil {
				return err
			}
			for {
				edit, err := e.open()
				if err != nil {
					return err
				}
				if len(edit.Puts)+len(edit.Deletes) == 0 {
					_, err := fmt.Fprintln(c.ErrOrStderr(), "samara: the text was not changed; nothing to change")
					return err
				}
				asked := o
				asked.If = slices.Concat(o.If, e.before.same)
				err = g.change(c.Context(), c.OutOrStdout(), func(ctx context.Context, client *api.Client) (api.Change, error) {
					return client.Edit(ctx, edit, asked)
				})
				if !isFault(err) {
					return e.keep(err)
				}
				e.fault = e.placed(err)
			}
		},
	}
	confirmFlag(c, &yes)
	changeFlags(c, &o)
	return c
}

// isFault reports whether a change was refused for what it says, so that another text may mend it.
func isFault(err error) bool {
	return errors.Is(err, fleet.ErrInvalid) || errors.Is(err, fleet.ErrExists) || errors.Is(err, fleet.ErrNotFound) || errors.Is(err, fleet.ErrInUse)
}

// An editor lets a person change objects as text until they are without fault.
type editor struct {
	*global
	command *cobra.Command
	noun    noun
	yes     bool // objects may be deleted without a question

	before draft
	names  []string
	text   []byte // as it was opened last, without the comments above it
	read   config.Documents
	fault  error // of that text; nil at first
}

// load reads the objects that the arguments name, or all.
func (e *editor) load(args []string) error {
	return e.ask(e.command.Context(), func(ctx context.Context, client *api.Client) error {
		var err error
		if len(args) == 0 {
			e.names, err = e.noun.everything(ctx, client)
		} else {
			var choose chooser
			if choose, err = e.noun.choose(args[0]); err == nil {
				e.names, err = choose(ctx, client)
			}
		}
		if err != nil {
			return err
		}
		if e.before, err = e.noun.draft(ctx, client, e.names); err != nil {
			return err
		}
		e.text, err = encodeObjects(e.before.objects)
		return err
	})
}

// everything returns the names of all objects of a noun.
func (n noun) everything(ctx context.Context, c *api.Client) ([]string, error) {
	list := nodeNames
	if n.kind == fleet.ObjectProfile {
		list = profileNames
	}
	names, err := list(ctx, c)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%ss: %w: there is none to edit; samara %s add makes one", n.kind, fleet.ErrNotFound, n.kind)
	}
	return names, err
}

// encodeObjects writes objects as the document that people edit.
func encodeObjects(objects []fleet.Object) ([]byte, error) {
	var d config.Documents
	for _, o := range objects {
		if o.Node != nil {
			d.Nodes = append(d.Nodes, *o.Node)
		} else {
			d.Profiles = append(d.Profiles, *o.Profile)
		}
	}
	var b bytes.Buffer
	err := config.Encode(&b, d)
	return b.Bytes(), err
}

// open runs the editor until its text is without fault, and returns what is to change; nothing if the text is as it was.
func (e *editor) open() (fleet.Edit, error) {
	first := e.fault == nil
	for {
		was := e.text
		text, err := e.edit(e.header())
		if err != nil {
			return fleet.Edit{}, err
		}
		if e.text = text; bytes.Equal(was, text) {
			if first {
				return fleet.Edit{}, nil
			}
			return fleet.Edit{}, fmt.Errorf("%w; nothing was changed", e.fault) // the person gives up
		}
		first = false
		if err := e.parse(); err != nil {
			e.fault = err
			continue
		}
		edit, err := e.changes()
		if err != nil {
			e.fault = err
			continue
		}
		if len(edit.Deletes) > 0 {
			gone := mapped(edit.Deletes, func(r fleet.Ref) string { return r.Name })
			err = e.confirm(e.command, e.yes, "delete "+e.noun.kind+" "+e.noun.fold(gone))
		}
		return edit, err
	}
}

// parse reads the text. The lines that faults name are those of the text under the header that tells the faults.
func (e *editor) parse() error {
	under := func(faults int) (config.Documents, error) {
		above := strings.Repeat("\n", faults+1)
		return config.Parse(config.File{Name: e.noun.kind + "s.yaml", Data: append([]byte(above), e.text...)})
	}
	var err error
	if e.read, err = under(1); err == nil {
		return nil
	}
	_, err = under(strings.Count(err.Error(), "\n") + 1)
	return err
}

// header returns the comments above the text: a line for each fault, and one more.
func (e *editor) header() []byte {
	var b strings.Builder
	if e.fault != nil {
		for line := range strings.Lines(e.fault.Error()) {
			fmt.Fprintf(&b, "# fault: %s\n", printable(strings.TrimSuffix(line, "\n")))
		}
	}
	fmt.Fprintf(&b, "# What these %ss say themselves. Save and close to change them; leave the text as it is to change nothing.\n", e.noun.kind)
	return []byte(b.String())
}

// edit shows the text in the person's editor and returns what becomes of it, without the header.
func (e *editor) edit(header []byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "samara-edit")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, e.noun.kind+"s.yaml")
	if err := os.WriteFile(path, append(header, e.text...), 0o600); err != nil {
		return nil, err
	}
	// The variable may hold arguments too, so that a shell must read it.
	run := exec.CommandContext(e.command.Context(), "sh", "-c", e.program.editor+` "$1"`, "sh", path)
	run.Stdin, run.Stdout, run.Stderr = e.command.InOrStdin(), e.command.OutOrStdout(), e.command.ErrOrStderr()
	if err := run.Run(); err != nil {
		return nil, fmt.Errorf("editor %s: %w; nothing was changed", e.program.editor, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for bytes.HasPrefix(text, []byte("# ")) {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, nil
}

// changes returns the edit that the text stands for.
func (e *editor) changes() (fleet.Edit, error) {
	edit := e.read.Edit()
	left := map[string]bool{}
	for _, o := range edit.Puts {
		r := o.Ref()
		if r.Kind != e.noun.kind {
			return edit, fmt.Errorf("%w text: it has a %s; only %ss are edited here", fleet.ErrInvalid, r.Kind, e.noun.kind)
		}
		if !slices.Contains(e.names, r.Name) {
			return edit, fmt.Errorf("%w text: %s was not in it; samara %s add makes new ones, samara %s rename gives other names", fleet.ErrInvalid, r, e.noun.kind, e.noun.kind)
		}
		left[r.Name] = true
	}
	for _, name := range e.names {
		if !left[name] {
			edit.Deletes = append(edit.Deletes, fleet.Ref{Kind: e.noun.kind, Name: name})
		}
	}
	return edit, nil
}

// keep leaves the text in a file, if there is an error that is not its fault: somebody else was faster, or nobody leads.
func (e *editor) keep(err error) error {
	if err == nil {
		return nil
	}
	f, failed := os.CreateTemp("", "samara-*.yaml")
	if failed != nil {
		return errors.Join(err, failed)
	}
	_, failed = f.Write(e.text)
	if failed = errors.Join(failed, f.Close()); failed != nil {
		return errors.Join(err, failed)
	}
	return fmt.Errorf("%w; your text is in %s", err, f.Name())
}

// placed says where in the text the object is that a refusal names.
func (e *editor) placed(err error) error {
	text := err.Error()
	for _, o := range e.read.Edit().Puts {
		r := o.Ref()
		if !strings.Contains(text, r.String()+":") {
			continue
		}
		if at, ok := e.read.Where(r.Kind, r.Name, ""); ok {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return err
}
