package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A table is rows of cells under a head.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints t with its columns aligned, two blanks apart, and no blanks at the ends of lines.
func (t *table) write(w io.Writer) error {
	all := t.rows
	if len(t.head) > 0 {
		all = append([][]string{t.head}, t.rows...)
	}
	var widths []int
	for _, row := range all {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(printable(cell)))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			cell = printable(cell)
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]+2-utf8.RuneCountInString(cell)))
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A view is a result in the forms in which it can be printed.
type view struct {
	data  any          // for json and yaml
	names []string     // for name; nil if the result is no list
	table func() table // for people
	rows  func() table // for csv; nil if the table does
	text  func(io.Writer) error
}

// print writes v in the form that --output asks for.
func (g *global) print(w io.Writer, v view) error {
	switch {
	case g.output == "json" || g.output == "yaml":
		b, err := encode(v.data, g.output)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	case g.output == "name":
		_, err := io.WriteString(w, strings.Join(append(v.names, ""), "\n"))
		return err
	case g.output == "csv":
		switch {
		case v.rows != nil:
			return writeCSV(w, v.rows())
		case v.table != nil:
			return writeCSV(w, v.table().plain())
		}
		return usagef("--output csv: this list is no table; want table, json, yaml or name")
	case v.text != nil:
		return v.text(w)
	}
	t := v.table()
	return t.write(w)
}

// checkOutput refuses a form that a command does not have, before it does anything.
func (g *global) checkOutput(list bool) error {
	switch g.output {
	case "table", "json", "yaml":
		return nil
	case "name", "csv":
		if list {
			return nil
		}
		return usagef("--output %s: only lists have it; want table, json or yaml", g.output)
	}
	return usagef("--output %q: want table, json or yaml, or for lists name or csv", g.output)
}

// plain returns t as programs read it: the head in lower case, and nothing in the cells of nothing.
func (t table) plain() table {
	out := table{head: mapped(t.head, strings.ToLower)}
	for _, row := range t.rows {
		out.add(mapped(row, func(cell string) string {
			if cell == "-" {
				return ""
			}
			return cell
		})...)
	}
	return out
}

// writeCSV prints a table as RFC 4180 has it, rows as long as the head at least.
func writeCSV(w io.Writer, t table) error {
	out := csv.NewWriter(w)
	for _, row := range append([][]string{t.head}, t.rows...) {
		cells := make([]string, max(len(t.head), len(row)))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// encode writes data as JSON, or as YAML with the fields of the JSON.
func encode(data any, form string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(data); err != nil {
		return nil, fmt.Errorf("encode %s: %w", form, err)
	}
	if form == "json" {
		return b.Bytes(), nil
	}
	y, err := toYAML(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", form, err)
	}
	return y, nil
}

// encodeLine writes data as one line of JSON.
func encodeLine(data any) ([]byte, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	return append(b, '\n'), nil
}
