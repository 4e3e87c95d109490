package bootagent

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be PID 1, its agent and an image's init as well, in the namespaces that tests make.
func TestMain(m *testing.M) {
	if role := roleOf(os.Args[0]); role != nil {
		os.Exit(role())
	}
	goleak.VerifyTestMain(m)
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
