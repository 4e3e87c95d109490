package yaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// An Error is a fault in the syntax of a file.
type Error struct {
	Line, Column int
	What         string // what is wrong, and what was wanted
}

// Error returns LINE:COLUMN: WHAT.
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.What) }

func failAt(n *yaml.Node, format string, args ...any) error {
	return &Error{Line: n.Line, Column: n.Column, What: fmt.Sprintf(format, args...)}
}

// explain returns an error of the library as an *Error: what the library says, where, and what to do.
func explain(err error, data []byte) error {
	var fault *yaml.LoadError
	if !errors.As(err, &fault) {
		return &Error{Line: 1, Column: 1, What: err.Error()}
	}
	if fault.Stage == yaml.ReaderStage {
		return badCharacter(data, fault.Message)
	}
	at, what, do := fault.Mark, fault.Message, advice(fault.Message)
	if within := fault.ContextMsg; strings.HasPrefix(within, "while parsing a") || strings.HasPrefix(within, "while scanning a") {
		what += " " + within
		switch begins := fault.ContextMark; {
		case begins.Line == 0 || begins.Line == at.Line:
		case fault.Stage == yaml.ScannerStage: // it lacks something up to here, be it the end of the file
			at = begins
		default:
			what += fmt.Sprintf(" that begins in line %d", begins.Line)
		}
	}
	if text := bytes.TrimRight(data, " \t\r\n"); at.Line > bytes.Count(text, []byte("\n"))+1 {
		at, do = endOf(text), "the file ends here: close each bracket, brace and quote"
	}
	if do != "" {
		what += "; " + do
	}
	return &Error{Line: max(at.Line, 1), Column: max(at.Column, 1), What: what}
}

// endOf returns the place behind text.
func endOf(text []byte) yaml.Mark {
	return yaml.Mark{Line: bytes.Count(text, []byte("\n")) + 1, Column: utf8.RuneCount(text[bytes.LastIndexByte(text, '\n')+1:]) + 1}
}

// advice returns what to do about a message of the library; "" if that is plain.
func advice(message string) string {
	switch {
	case strings.HasPrefix(message, "mapping values are not allowed"):
		return `indent the keys of a mapping alike, and put text that has ": " in quotes`
	case strings.HasPrefix(message, "block sequence entries are not allowed"):
		return "begin a list on a line of its own"
	case message == "did not find expected key", message == "did not find expected '-' indicator", message == "did not find expected <document start>":
		return "indent what belongs together alike, and put all of a text in quotes, or nothing of it"
	case message == "could not find expected ':'":
		return "want KEY: VALUE, with a blank after the colon"
	case message == "found character that cannot start any token":
		return "want blanks where tabs are, and quotes around such text"
	case message == "did not find expected node content":
		return "want a value; text that begins with one of ,[]{} needs quotes"
	case message == "found unknown escape character":
		return `a backslash is \\ in double quotes, and itself in single quotes`
	case message == "found incompatible YAML document":
		return "leave the line %YAML out"
	case strings.HasPrefix(message, "unknown anchor "):
		return "text that begins with * needs quotes"
	}
	return ""
}

// badCharacter returns where the first character is that the library does not read, since it does not say so itself, or
// says what is wrong otherwise.
func badCharacter(data []byte, otherwise string) error {
	bad := func(r rune) bool {
		return r == utf8.RuneError || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	}
	size := 0
	for at := 0; ; at += size {
		next := bytes.IndexFunc(data[at:], bad)
		if next < 0 {
			return &Error{Line: 1, Column: 1, What: otherwise}
		}
		at += next
		var r rune
		if r, size = utf8.DecodeRune(data[at:]); r == utf8.RuneError && size > 1 {
			continue // a replacement character that stands there
		}
		what := fmt.Sprintf(`character %U cannot stand in YAML; in double quotes write it as \x%02x`, r, r)
		if r == utf8.RuneError {
			what = fmt.Sprintf("byte 0x%02x is not UTF-8", data[at])
		}
		before := endOf(data[:at])
		return &Error{Line: before.Line, Column: before.Column, What: what}
	}
}
