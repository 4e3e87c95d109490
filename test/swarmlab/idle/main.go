// Command idle measures what an agent takes from a node that has booted and on which nothing else happens: processor
// time, wake-ups, memory. Agents are processes with the code of real ones, each in a network namespace of its own; they
// fetch an image, are left alone until they have settled, and are then watched. It needs root and takes a quarter of an
// hour, most of it waiting.
//
//	make bench-idle
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/samara-hpc/samara/test/swarmlab"
	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// options are the command line.
type options struct {
	samara, agent, out string
	image              int64 // MiB
	settle, watch      time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-idle:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == peer.Word {
		return attend(ctx, args[1], os.Stdin, os.Stdout)
	}
	var o options
	f := flag.NewFlagSet("bench-idle", flag.ExitOnError)
	f.StringVar(&o.samara, "samara", "bin/samara", "the product's `file`")
	f.StringVar(&o.agent, "agent", "bin/samara-agent-"+runtime.GOARCH, "the agent's `file`, for its size")
	f.StringVar(&o.out, "out", "out", "`directory` for bench-idle.json")
	f.Int64Var(&o.image, "image", 128, "size of the image, in `MiB`")
	f.DurationVar(&o.settle, "settle", 30*time.Second, "how long agents are left alone before they are watched")
	f.DurationVar(&o.watch, "for", 5*time.Minute, "how long they are watched")
	_ = f.Parse(args) // it exits by itself
	if f.NArg() > 0 || o.image < 1 || o.settle < 0 || o.watch < time.Second {
		f.Usage()
		return fmt.Errorf("bad arguments %q", args)
	}
	return measure(ctx, o)
}

// measure carries all scenes out, and writes what they came to.
func measure(ctx context.Context, o options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if o.samara, err = filepath.Abs(o.samara); err != nil {
		return err
	}
	for _, file := range []string{o.samara, o.agent} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%w: make build makes it", err)
		}
	}
	program, err := os.Stat(o.agent)
	if err != nil {
		return err
	}
	r := report{Watched: o.watch.Seconds(), Processors: runtime.NumCPU(), Image: o.image, Program: mib(program.Size())}
	tools := swarmlab.Tools{Samara: o.samara, Peer: self, Prefix: "samara-idle"}
	for _, s := range scenes {
		say("%s: %d of them run agents; about %s", s, present, (o.settle + o.watch + 30*time.Second).Round(time.Second))
		agents, err := s.play(ctx, tools, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		r.Agents = append(r.Agents, agents...)
	}
	r.sum()
	return r.write(o.out)
}

// write writes the report into dir, and its table to standard output.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	fmt.Print(r.table())
	return os.WriteFile(filepath.Join(dir, "bench-idle.json"), append(text, '\n'), 0o644)
}

// say tells what is going on.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
