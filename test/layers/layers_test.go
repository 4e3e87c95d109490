// Package layers holds the product's import table against its code.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/samara-hpc/samara/"

// table says which packages of ours a package may import. Imports only go down: siblings never import each other, and
// a part that needs another declares an interface, which internal/controller fills.
var table = map[string][]string{
	"fleet":                 {"fleet/hostlist"},
	"fleet/hostlist":        {},
	"fleet/selection":       {"fleet", "fleet/hostlist"},
	"raftstore":             {"fleet"},
	"mesh":                  {"fleet"},
	"seeder":                {"fleet", "seeder/origin", "seeder/handout"},
	"seeder/origin":         {},
	"seeder/handout":        {},
	"seeder/simulate":       {"seeder/origin", "seeder/handout"},
	"initramfs":             {"fleet"},
	"internal/blob":         {"fleet"},
	"internal/identity":     {"fleet"},
	"internal/observe":      {"fleet"},
	"internal/config":       {"fleet", "fleet/hostlist", "internal/config/yaml"},
	"internal/config/yaml":  {},
	"internal/warewulf":     {"fleet", "fleet/hostlist", "internal/config", "internal/config/yaml"},
	"internal/netboot/dhcp": {"fleet"},
	"internal/netboot/ipxe": {"fleet"},
	"internal/netboot/tftp": {"fleet"},
	"internal/image":        {"fleet", "internal/blob"},
	"internal/netboot":      {"fleet", "internal/netboot/dhcp", "internal/netboot/ipxe", "internal/netboot/tftp"},
	"internal/api":          {"fleet", "internal/identity"},
	"bootagent":             {"fleet", "seeder", "mesh", "internal/identity"},
	"internal/controller": {"fleet", "raftstore", "mesh", "seeder", "seeder/handout", "initramfs", "internal/blob", "internal/identity",
		"internal/observe", "internal/image", "internal/netboot", "internal/api"},
	"cmd/samara": {"fleet", "fleet/hostlist", "fleet/selection", "seeder/simulate", "initramfs", "internal/api", "internal/config",
		"internal/controller", "internal/identity", "internal/warewulf"},
	"cmd/samara-agent": {"bootagent"},
}

// agentMustNotHold are import paths that have no place in a node's RAM.
var agentMustNotHold = []string{"github.com/hashicorp/raft", "go.etcd.io/bbolt", "github.com/spf13/cobra", "go.yaml.in/yaml",
	"github.com/pin/tftp", "github.com/prometheus", module + "internal/api", module + "internal/controller", module + "raftstore"}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-tags=noboltdb,nosqlite", "-json=ImportPath,Imports,Deps"}, args...)...)
	cmd.Dir = "../.."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestImportsGoDown(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "test/") {
			continue // tests may import anything, and nothing imports them: see below
		}
		seen[name] = true
		allowed, known := table[name]
		if !known {
			t.Errorf("package %s is not in the table", name)
			continue
		}
		for _, i := range p.Imports {
			ours, is := strings.CutPrefix(i, module)
			if is && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which the table does not allow", name, ours)
			}
		}
	}
	for name := range table {
		if !seen[name] {
			t.Errorf("the table names package %s, which does not exist", name)
		}
	}
}

func TestTheAgentIsSmall(t *testing.T) {
	for _, p := range list(t, "./cmd/samara-agent") {
		for _, dep := range p.Deps {
			for _, not := range agentMustNotHold {
				if dep == not || strings.HasPrefix(dep, not+"/") {
					t.Errorf("the agent's dependency tree holds %s", dep)
				}
			}
		}
	}
}

// TestFleetIsPure holds the state to no I/O, clock, randomness, goroutine or logger.
func TestFleetIsPure(t *testing.T) {
	for _, p := range list(t, "./fleet") {
		for _, i := range p.Imports {
			for _, not := range []string{"os", "net", "net/http", "sync", "sync/atomic", "context", "crypto/rand", "math/rand", "math/rand/v2", "log", "os/exec", "syscall"} {
				if i == not {
					t.Errorf("%s imports %s", p.ImportPath, not)
				}
			}
		}
	}
}
