package main

import (
	"errors"
	"fmt"
	"io"
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
func readInput(c *cobra.Command, name string, limit int64) (_ config.File, err error) {
	in, called := c.InOrStdin(), "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return config.File{}, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		in, called = f, name
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
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

// quotedField returns the path of the field of an object whose value stands as a word in text: of several, the longest
// word. It is "" if there is none.
func quotedField(o fleet.Object, text string) string {
	var values func(yield func(path, value string) bool)
	switch {
	case o.Node != nil:
		values = o.Node.Values()
	case o.Profile != nil:
		values = o.Profile.Values()
	default:
		return ""
	}
	field, longest := "", 0
	for path, value := range values {
		if path == "comment" || strings.HasPrefix(path, "tags.") || strings.HasPrefix(path, "resources.") {
			continue // free text, which may say anything
		}
		for word := range strings.FieldsSeq(value) {
			if len(word) > longest && hasWord(text, word) {
				field, longest = path, len(word)
			}
		}
	}
	return field
}

// hasWord reports whether a word stands in text by itself.
func hasWord(text, word string) bool {
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(text[:from+at])
		after, _ := utf8.DecodeRuneInString(text[from+at+len(word):])
		if !slices.ContainsFunc([]rune{before, after}, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			return true
		}
		from += at + 1
	}
}
