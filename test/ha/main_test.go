package ha

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain lets all tests run side by side, however few processors there are: mostly they wait.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}
