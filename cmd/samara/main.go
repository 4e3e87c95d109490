// Command samara is a controller of a cluster, and the command line with which people ask one.
package main

import (
	"context"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/samara-hpc/samara/internal/controller"
)

// version is set by the linker: -ldflags "-X main.version=…".
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	status := run(ctx, installed(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// A program is what the commands reach beyond a controller's API.
type program struct {
	version   string
	socket    string // where a controller is looked for unless a flag says otherwise
	joinToken string // for samara controller join, unless a flag has one
	editor    string // a shell's words, to which the name of a file is added
	init      func(context.Context, controller.InitOptions) error
	join      func(context.Context, controller.JoinOptions) (controller.Joined, error)
	restore   func(context.Context, controller.RestoreOptions) (controller.RestorePlan, error)
	recover   func(context.Context, controller.RecoverOptions) (controller.RecoverPlan, error)
	serve     func(context.Context, controller.Config) error
	agent     func(arch string) ([]byte, error)
	hostname  func() (string, error)
	addresses func() ([]netip.Prefix, error) // of this machine
	terminal  func(any) bool                 // whether a stream is one
}

// run executes one command line and returns the exit status: 0, 2 if the input is bad, 1 for anything else.
func run(ctx context.Context, p program, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(p)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	return finish(ctx, stderr, err)
}
