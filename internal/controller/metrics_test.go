package controller

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/samara-hpc/samara/internal/api"
)

func TestMetricsPort(t *testing.T) {
	if parts, err := (Config{}).metrics(nil); parts != nil || err != nil {
		t.Errorf("without an address: %v, %v; want nothing", parts, err)
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for at, want := range map[string]string{taken.Addr().String(): "is in use; name another", "192.0.2.1:7605": "is not an address of this machine"} {
		if _, err := (Config{Metrics: netip.MustParseAddrPort(at)}).metrics(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", at, err, want)
		}
	}
	parts, err := Config{Metrics: netip.MustParseAddrPort("127.0.0.1:0")}.metrics(api.New(api.Config{Logger: slog.New(slog.DiscardHandler)}))
	if err != nil || len(parts) != 1 {
		t.Fatalf("on a free port: %v, %v", parts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := parts[0].run(ctx); err != nil {
		t.Errorf("a part that is ended at once: %v", err)
	}
}
