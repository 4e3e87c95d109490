// Package netboot_test exchanges DHCP, TFTP and HTTP with clients that are not ours, over a real bridge: the server
// runs in one network namespace, each client in another. It needs root and the packages that its failures name.
package netboot_test

import (
	"fmt"
	"os"
	"testing"
)

// serverMode is set in the environment of a process that is to be a server: this test binary, started again inside the
// server's namespace. It says which controller of how many, as 1/3.
const serverMode = "SAMARA_TEST_NETBOOT_SERVER"

func TestMain(m *testing.M) {
	if who := os.Getenv(serverMode); who != "" {
		if err := serve(who, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
