// Command demo shows Samara at work on one Linux machine: three controllers and four machines without disks, in network
// namespaces of their own. It does what a person would do, through samara's command line. "make demo" runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/samara-hpc/samara/test/lab"
)

const usage = "usage: demo up [--samara FILE] [--out DIR] | demo down [--out DIR]"

// networkName is the network that a demo has, and with a host's name appended that of its controllers; there is at most one demo on a machine.
const networkName = "samara-demo"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the demo at once
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, errUsage) {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, w io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	binary := flags.String("samara", "bin/samara", "")
	out := flags.String("out", "out", "")
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() > 0 {
		return errUsage
	}
	dir, err := filepath.Abs(*out)
	if err != nil {
		return err
	}
	d := &demo{out: dir, w: w}
	if d.binary, err = filepath.Abs(*binary); err != nil {
		return err
	}
	if err := lab.Need(); err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return d.up(ctx)
	case "down":
		return d.down()
	}
	return errUsage
}
