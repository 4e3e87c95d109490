package seeder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// openPort opens a port for peers.
func openPort(addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{Control: socketOptions, KeepAlive: -1}
	l, err := lc.Listen(context.Background(), "tcp4", addr.String())
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("swarm port %s is in use: stop the program that holds it (ss -ltnp names it) or choose another swarm port: %w", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("swarm address %s is not an address of this machine: %w", addr.Addr(), err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("swarm port %s may not be opened: run as root or choose a port above 1023: %w", addr, err)
	default:
		return nil, fmt.Errorf("opening swarm port %s: %w", addr, err)
	}
}
