package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/samara-hpc/samara/internal/api"
)

// metrics returns the part that tells metrics in clear, or none if the configuration names no address for that.
func (c Config) metrics(people *api.Server) ([]part, error) {
	if !c.Metrics.IsValid() {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Metrics.String())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("metrics: port %d of %s is in use; name another with --metrics (ss -ltnp names the program that holds it): %w", c.Metrics.Port(), c.Metrics.Addr(), err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("metrics: %s is not an address of this machine (ip address shows those it has): %w", c.Metrics.Addr(), err)
	case err != nil:
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return []part{{"metrics", func(ctx context.Context) error { return people.ServeMetrics(ctx, l) }}}, nil
}
