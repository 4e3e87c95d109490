package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// This program runs itself for what needs a process of its own: first word childWord, then what to do, and the
// controller's id, directory and address.
const (
	childWord   = "child"
	childWriter = "write"   // write whenever this controller leads
	childLoner  = "restart" // open a large state, alone, and say how long it took and how much memory it has
)

func runChild(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("child: %q", args)
	}
	address, err := netip.ParseAddrPort(args[3])
	if err != nil {
		return err
	}
	c := &controller{id: args[1], dir: args[2], address: address}
	switch args[0] {
	case childWriter:
		return runWriter(ctx, c)
	case childLoner:
		return runLoner(ctx, c)
	}
	return fmt.Errorf("child: %q", args)
}

// runWriter writes whenever c leads, and prints what measureDeaths reads.
func runWriter(ctx context.Context, c *controller) error {
	if err := c.start(); err != nil {
		return err
	}
	var printing sync.Mutex
	say := func(word string, rev fleet.Revision) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Println(word, rev)
	}
	go func() {
		for rev := fleet.Revision(0); ; {
			state, err := c.store.Wait(ctx, rev)
			if err != nil {
				return
			}
			rev = state.Revision()
			say("have", rev)
		}
	}()
	for i := uint64(0); ; {
		reign, err := c.store.Leading(ctx)
		if err != nil {
			return errors.Join(err, c.stop())
		}
		for reign.Err() == nil {
			i++
			if err := write(reign, c.store, i); err == nil {
				say("ack", c.store.State().Revision())
			}
		}
	}
}

// runLoner opens a store that holds a snapshot, and prints after how many seconds boot plans can be answered, and
// how many MiB the process has, and has alive on its heap, once its state has changed for a while.
func runLoner(ctx context.Context, c *controller) (err error) {
	began := time.Now()
	if err := c.start(); err != nil {
		return err
	}
	defer func() { err = join(err, c.stop()) }()
	state := c.store.State()
	if _, err := state.Plan(mac(0)); err != nil {
		return err
	}
	restart := time.Since(began)
	if err := c.store.WaitLeader(ctx); err != nil {
		return err
	}
	const changes = 5000 // more than a store keeps states of
	if _, err := writeWhile(ctx, 64, func(i uint64) bool { return i <= changes }, func(ctx context.Context, i uint64) error { return write(ctx, c.store, i) }); err != nil {
		return err
	}
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	rss, err := residentMiB()
	if err != nil {
		return err
	}
	fmt.Printf("%f %f %f\n", restart.Seconds(), rss, float64(m.HeapAlloc)/(1<<20))
	return nil
}

// residentMiB returns the memory that this process has.
func residentMiB() (float64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm: %q", b)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return float64(pages*int64(os.Getpagesize())) / (1 << 20), err
}

func storeDir(c *controller) string { return filepath.Join(c.dir, "raft") }
