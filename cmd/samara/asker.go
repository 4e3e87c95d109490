package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxAnswer bounds one answer of a person, in bytes.
const maxAnswer = 4096

// An asker puts questions to a person. It may be used until a method fails.
type asker struct {
	in  *bufio.Scanner
	out io.Writer
}

func newAsker(in io.Reader, out io.Writer) *asker {
	s := bufio.NewScanner(in)
	s.Buffer(nil, maxAnswer)
	return &asker{in: s, out: out}
}

// line asks one question and returns the answer, or def if it is empty. When ctx ends it returns at once, and leaves a
// read of the terminal behind that ends with the process.
func (a *asker) line(ctx context.Context, question, def string) (string, error) {
	if _, err := fmt.Fprintf(a.out, "%s ", question); err != nil {
		return "", err
	}
	read := make(chan error, 1)
	go func() {
		var err error
		if !a.in.Scan() {
			if err = a.in.Err(); err == nil {
				err = errors.New("the input ended")
			}
		}
		read <- err
	}()
	select {
	case err := <-read:
		if err != nil {
			return "", fmt.Errorf("no answer: %w", err)
		}
	case <-ctx.Done():
		_, _ = fmt.Fprintln(a.out)
		return "", ctx.Err()
	}
	if s := strings.TrimSpace(a.in.Text()); s != "" {
		return s, nil
	}
	return def, nil
}

// ask repeats a question until parse takes the answer. A default is offered in brackets.
func (a *asker) ask(ctx context.Context, question, def string, parse func(string) error) error {
	if def != "" {
		question += " [" + def + "]"
	}
	for {
		s, err := a.line(ctx, question+":", def)
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
