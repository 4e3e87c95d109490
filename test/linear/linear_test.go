// Package linear puts five controllers, each a real process on a host of its own, under clients that read, write and
// claim identities, and under faults: kill -9, SIGSTOP, partitions, full disks, restarts. Then it checks that every
// answer fits into one order of events, that nothing acknowledged was lost, and that all controllers hold the same.
//
// SAMARA_LINEAR says how long it goes on (default 2m), SAMARA_SEED repeats the faults of an earlier run. It needs root.
package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/samara-hpc/samara/test/lab"
)

const (
	prefix   = "samara-linear"
	patience = time.Minute // for what takes seconds once nothing is in its way

	controllers = 5
	clients     = 8
	checkLimit  = 30 * time.Second // for each two minutes of history
)

// What the test says to itself when it starts itself again inside its network.
const (
	networkVar = "SAMARA_TEST_LINEAR_NETWORK"
	dirVar     = "SAMARA_TEST_LINEAR_DIR"
)

// TestMain runs the tests inside a network of their own, so that their clients are on it.
func TestMain(m *testing.M) {
	if os.Getenv(networkVar) != "" {
		os.Exit(m.Run())
	}
	err := runInNetwork()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(max(1, exit.ExitCode()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runInNetwork() (err error) {
	if err := lab.Need(); err != nil {
		return fmt.Errorf("%w (test/prepare test does it)", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := lab.Sweep(prefix); err != nil {
		return err
	}
	network, err := lab.NewNetwork(lab.TestNetworkName(prefix), false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	dir, err := os.MkdirTemp("", prefix+"-") // short, for it holds Unix sockets
	if err != nil {
		return err
	}
	err = network.RunInside(ctx, networkVar+"="+network.Name, dirVar+"="+dir)
	if err != nil {
		fmt.Fprintf(os.Stderr, "the logs of the controllers, and pictures of wrong histories, are in %s\n", dir)
		return err
	}
	if err := network.Close(); err != nil { // unmounts what is in dir
		return err
	}
	return os.RemoveAll(dir)
}

// product returns the path of the product.
func product() (string, error) {
	path := os.Getenv("SAMARA_BINARY")
	if path == "" {
		path = "../../bin/samara"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: make build makes it; SAMARA_BINARY names another", err)
	}
	return path, nil
}

// settings returns how long to go on and the seed of the faults.
func settings(t *testing.T) (time.Duration, uint64) {
	t.Helper()
	duration, seed := 2*time.Minute, rand.Uint64()
	var err error
	if s := os.Getenv("SAMARA_LINEAR"); s != "" {
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SAMARA_LINEAR: %v", err)
		}
	}
	if s := os.Getenv("SAMARA_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SAMARA_SEED: %v", err)
		}
	}
	return duration, seed
}

func TestControllersAreOneRegister(t *testing.T) {
	duration, seed := settings(t)
	t.Logf("%v of faults; SAMARA_SEED=%d repeats them", duration, seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("SAMARA_SEED=%d repeats these faults", seed)
		}
	})
	c := newCluster(t)
	r := newRun(t, c, duration)
	storm, calm := context.WithTimeout(t.Context(), duration)
	defer calm()

	g, ctx := errgroup.WithContext(t.Context())
	working, rest := context.WithCancel(ctx)
	r.work(working, g)
	g.Go(func() error { return c.guard(working) })
	g.Go(func() error {
		defer rest()
		faults, storm := errgroup.WithContext(storm)
		stop := context.AfterFunc(ctx, calm)
		defer stop()
		for i, kind := range []func(*nemesis) []fault{hostFaults, networkFaults} {
			n := &nemesis{cluster: c, random: rand.New(rand.NewPCG(seed, uint64(i))), say: t.Logf}
			faults.Go(func() error { return n.run(storm, kind(n)) })
		}
		if err := faults.Wait(); err != nil {
			return err
		}
		t.Log("the faults are over")
		ctx, cancel := context.WithTimeout(ctx, 2*patience)
		defer cancel()
		return c.WaitWhole(ctx)
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	r.verify(t)
}
