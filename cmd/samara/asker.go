package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxAnswer bounds one answer of a person, in bytes.
const maxAnswer = 4096

// An asker puts questions to a person.
type asker struct {
	in  *bufio.Scanner
	out io.Writer
}

func newAsker(in io.Reader, out io.Writer) *asker {
	s := bufio.NewScanner(in)
	s.Buffer(nil, maxAnswer)
	return &asker{in: s, out: out}
}

// line asks one question and returns the answer, or def if it is empty.
func (a *asker) line(question, def string) (string, error) {
	if _, err := fmt.Fprintf(a.out, "%s ", question); err != nil {
		return "", err
	}
	if !a.in.Scan() {
		if err := a.in.Err(); err != nil {
			return "", fmt.Errorf("read the answer: %w", err)
		}
		return "", errors.New("no answer: the input ended")
	}
	if s := strings.TrimSpace(a.in.Text()); s != "" {
		return s, nil
	}
	return def, nil
}

// ask repeats a question until parse takes the answer. A default is offered in brackets.
func (a *asker) ask(question, def string, parse func(string) error) error {
	if def != "" {
		question += " [" + def + "]"
	}
	for {
		s, err := a.line(question+":", def)
		if err != nil {
			return err
		}
		err = parse(s)
		if err == nil {
			return nil
		}
		if _, err := fmt.Fprintf(a.out, "  %v\n", err); err != nil {
			return err
		}
	}
}
