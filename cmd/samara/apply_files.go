package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config"
)

// documentFlags name files of YAML documents.
type documentFlags struct{ files []string }

func (d *documentFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&d.files, "file", "f", nil, "`FILE` of YAML documents, a directory of them (*.yaml, *.yml, nodes.conf), or - for the standard input (repeatable)")
}

// read reads the files as one configuration. The error is config.Faults if it is of what they say.
func (d documentFlags) read(c *cobra.Command) (config.Documents, error) {
	if len(d.files) == 0 {
		return config.Documents{}, usagef("%s: want -f FILE, a directory, or - for the standard input", c.Name())
	}
	var files []config.File
	left := int64(config.MaxSize)
	for _, name := range d.files {
		names := []string{name}
		if info, err := os.Stat(name); name != "-" && err == nil && info.IsDir() {
			if names, err = documentsIn(name); err != nil {
				return config.Documents{}, err
			}
		}
		for _, name := range names {
			f, err := readInput(c, name, left)
			if err != nil {
				return config.Documents{}, err
			}
			left -= int64(len(f.Data))
			files = append(files, f)
		}
	}
	return config.Parse(files...)
}

// documentsIn returns the files of documents in a directory, by name, but no hidden ones.
func documentsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || ext != ".yaml" && ext != ".yml" && e.Name() != "nodes.conf" {
			continue
		}
		names = append(names, filepath.Join(dir, e.Name()))
	}
	if len(names) == 0 {
		return nil, usagef("%s: there is no *.yaml, *.yml or nodes.conf in it", dir)
	}
	return names, nil
}

// readInput reads a file that a command line names, or the standard input for "-". It has at most limit bytes.
func readInput(c *cobra.Command, name string, limit int64) (config.File, error) {
	in, called := io.NopCloser(c.InOrStdin()), "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return config.File{}, err
		}
		in, called = f, name
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err := errors.Join(err, in.Close()); err != nil {
		return config.File{}, fmt.Errorf("%s: %w", called, err)
	}
	if int64(len(data)) > limit {
		return config.File{}, usagef("%s: with it there is more than the %s that are read at once", called, size(config.MaxSize))
	}
	return config.File{Name: called, Data: data}, nil
}

// faulty tells the faults of files, one a line if there are several, and returns the error to end with.
func faulty(stderr io.Writer, err error) error {
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) < 2 {
		return err
	}
	var b strings.Builder
	for _, f := range faults {
		b.WriteString(printable(f.String()) + "\n")
	}
	if _, err := io.WriteString(stderr, b.String()); err != nil {
		return err
	}
	return fmt.Errorf("%w input: it has the faults above; nothing was changed", fleet.ErrInvalid)
}

// quotedField returns the path of the field of an object that a refusal means, whose text goes on after the object's name:
// the one whose value stands in it first as a word, or else the part of the object that it names. It is "" if there is none.
func quotedField(o fleet.Object, text string) string {
	part, rest := "", strings.TrimPrefix(text, ": ")
	if named, ok := strings.CutPrefix(rest, "interface "); ok {
		if name, after, ok := strings.Cut(named, ": "); ok {
			part, rest = "interfaces."+name, after
		}
	} else if after, ok := strings.CutPrefix(rest, "BMC: "); ok {
		part, rest = "bmc", after
	}
	field, first, length := part, len(rest), 0
	for path, value := range valuesOf(o) {
		free := path == "comment" || strings.HasPrefix(path, "tags.") || strings.HasPrefix(path, "resources.") // may say anything
		if free || part != "" && !strings.HasPrefix(path, part+".") {
			continue
		}
		for word := range strings.FieldsSeq(value) {
			at := wordIn(rest, word)
			if at >= 0 && (at < first || at == first && len(word) > length) {
				field, first, length = path, at, len(word)
			}
		}
	}
	return field
}

// valuesOf yields what an object says, by the paths of its fields.
func valuesOf(o fleet.Object) iter.Seq2[string, string] {
	switch {
	case o.Node != nil:
		return o.Node.Values()
	case o.Profile != nil:
		return o.Profile.Values()
	case o.Network != nil:
		return networkValues(*o.Network)
	}
	return func(func(string, string) bool) {}
}

func networkValues(n fleet.Network) iter.Seq2[string, string] {
	return func(yield func(path, value string) bool) {
		for _, f := range [][2]string{
			{"subnet", n.Subnet.String()}, {"gateway", addressText(n.Gateway)}, {"dns", strings.Join(mapped(n.DNS, addressText), " ")},
			{"domain", n.Domain}, {"dhcp", string(n.DHCP)}, {"discovery", n.Discovery.String()},
		} {
			if !yield(f[0], f[1]) {
				return
			}
		}
	}
}

// wordIn returns where a word stands in text by itself; -1 if it does not.
func wordIn(text, word string) int {
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return -1
		}
		before, _ := utf8.DecodeLastRuneInString(text[:from+at])
		after, _ := utf8.DecodeRuneInString(text[from+at+len(word):])
		if !slices.ContainsFunc([]rune{before, after}, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			return from + at
		}
		from += at + 1
	}
}
