package swarmlab

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/samara-hpc/samara/test/swarmlab/peer"
)

// TestMain makes the tests' program a peer where it is called as one. Three sites at once are as much as two processors
// can do without being the limit.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == peer.Word {
		if err := peer.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := flag.Set("test.parallel", "3"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}
