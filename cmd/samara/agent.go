package main

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

//go:embed agent
var agents embed.FS

// maxAgent bounds an agent's program, in bytes.
const maxAgent = 64 << 20

// embeddedAgent returns the nodes' agent for an architecture, by Go's name for it.
func embeddedAgent(arch string) ([]byte, error) { return readAgent(agents, arch) }

func readAgent(from fs.FS, arch string) ([]byte, error) {
	packed, err := fs.ReadFile(from, "agent/samara-agent-"+arch+".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this samara was built without the agent for %s; build it with make build", arch)
	}
	if err != nil {
		return nil, fmt.Errorf("agent for %s: %w", arch, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("agent for %s: %w; build it again with make build", arch, err)
	}
	b, err := io.ReadAll(io.LimitReader(z, maxAgent+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("agent for %s: %w; build it again with make build", arch, err)
	case len(b) > maxAgent:
		return nil, fmt.Errorf("agent for %s: more than %d bytes", arch, maxAgent)
	}
	return b, nil
}
