// Command samara-agent is /init of a node's initramfs, and afterwards the node's seeder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/samara-hpc/samara/bootagent"
)

func main() {
	switch {
	case os.Args[0] == bootagent.ChildName:
		signal.Ignore(syscall.SIGHUP)
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		log := bootagent.NewLog()
		if err := bootagent.Run(ctx, log, strings.Join(os.Args[1:], " ")); err != nil {
			log.Error("the agent ends", "err", err)
			os.Exit(1)
		}
	case os.Getpid() == 1:
		bootagent.Supervise(os.Args[1:], os.Environ())
	default:
		fmt.Fprintln(os.Stderr, "samara-agent: I am the first program of a node's initramfs, and of no use elsewhere; see samara help")
		os.Exit(2)
	}
}
