package bootagent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The agent and PID 1 speak over two pipes, one line a message. The agent asks "switch INIT"; PID 1 answers
// "refused REASON", or becomes INIT, which closes its end of the pipe. PID 1's ends close on exec, so that "closed" and
// "the image's init runs" are one event.

// File descriptors of the agent's ends.
const (
	requestFD = 3
	answerFD  = 4
)

// maxMessage bounds a line of either side, in bytes.
const maxMessage = 4096

// A link is the agent's end.
type link struct {
	requests io.Writer
	answers  *bufio.Reader
	closeAll func()
}

// openLink takes over the descriptors that PID 1 left.
func openLink() (*link, error) {
	requests, answers := os.NewFile(requestFD, "requests"), os.NewFile(answerFD, "answers")
	for _, f := range []*os.File{requests, answers} {
		if _, err := f.Stat(); err != nil {
			return nil, fmt.Errorf("pipe to PID 1: %w; this program is started by the initramfs only", err)
		}
	}
	return &link{requests, bufio.NewReaderSize(answers, maxMessage), func() { requests.Close(); answers.Close() }}, nil
}

// switchTo asks PID 1 to become one of inits in the new root, and returns when that is done. It cannot be called
// again after it returned nil.
func (l *link) switchTo(ctx context.Context, inits []string) error {
	message := "switch " + strings.Join(inits, " ") + "\n"
	if len(message) > maxMessage {
		return errors.New("init=: too long")
	}
	if _, err := io.WriteString(l.requests, message); err != nil {
		return fmt.Errorf("ask PID 1: %w", err)
	}
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := l.answers.ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for PID 1: %w", context.Cause(ctx))
	case a := <-got:
		switch {
		case errors.Is(a.err, io.EOF):
			l.closeAll()
			return nil
		case a.err != nil:
			return fmt.Errorf("wait for PID 1: %w", a.err)
		}
		return errors.New(strings.TrimPrefix(strings.TrimSpace(a.line), "refused "))
	}
}

// readRequests sends the inits of every switch that the agent asks for, until the agent is gone.
func readRequests(ctx context.Context, from io.Reader, requests chan<- []string) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "switch" {
			continue
		}
		select {
		case requests <- fields[1:]:
		case <-ctx.Done():
			return
		}
	}
}
