package bootagent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// A cmdline is what the kernel's command line says to the agent.
type cmdline struct {
	Controllers []netip.AddrPort // samara.ctl
	Pin         string           // samara.ca: SHA-256 of the cluster authority's key, in hexadecimal
	Token       string           // samara.boot
	BootMAC     fleet.MAC        // BOOTIF; zero if the loader did not say
	Init        string           // init=, or ""
	Rescue      bool             // samara.rescue
}

// maxControllers bounds samara.ctl.
const maxControllers = 16

// defaultInits are tried in this order when nobody names an init, as Linux does.
var defaultInits = [...]string{"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"}

// readCmdline reads the command line of the running kernel.
func readCmdline() (cmdline, error) {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return cmdline{}, fmt.Errorf("read the kernel command line: %w", err)
	}
	return parseCmdline(string(text))
}

// parseCmdline reads a kernel command line. Of a repeated argument the last counts. What is returned with an error
// holds everything that could be read, so that samara.rescue works on a broken line.
func parseCmdline(text string) (cmdline, error) {
	var c cmdline
	var problems []error
	for _, arg := range splitArgs(text) {
		key, value, _ := strings.Cut(arg, "=")
		var err error
		switch key {
		case "samara.ctl":
			c.Controllers, err = parseControllers(value)
		case "samara.ca":
			c.Pin, err = parsePin(value)
		case "samara.boot":
			c.Token = value
		case "BOOTIF":
			c.BootMAC, err = parseBootif(value)
		case "init":
			c.Init = value
		case "samara.rescue":
			c.Rescue = true
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, err))
		}
	}
	for key, missing := range map[string]bool{"samara.ctl": c.Controllers == nil, "samara.ca": c.Pin == "", "samara.boot": c.Token == ""} {
		if missing {
			problems = append(problems, fmt.Errorf("no usable %s", key))
		}
	}
	if problems != nil {
		slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return c, fmt.Errorf("kernel command line: %w; boot this machine through a Samara controller", joinErrors(problems))
	}
	return c, nil
}

// splitArgs splits as the kernel does: at white space, but for what stands in double quotes, which are dropped.
func splitArgs(text string) []string {
	var args []string
	var arg strings.Builder
	quoted, some := false, false
	for _, r := range text {
		switch {
		case r == '"':
			quoted, some = !quoted, true
		case !quoted && (r == ' ' || r == '\t' || r == '\n' || r == '\r'):
			if some {
				args = append(args, arg.String())
			}
			arg.Reset()
			some = false
		default:
			arg.WriteRune(r)
			some = true
		}
	}
	if some {
		args = append(args, arg.String())
	}
	return args
}

func parseControllers(value string) ([]netip.AddrPort, error) {
	fields := strings.Split(value, ",")
	if len(fields) > maxControllers {
		return nil, fmt.Errorf("%d controllers, at most %d", len(fields), maxControllers)
	}
	var list []netip.AddrPort
	for _, f := range fields {
		a, err := netip.ParseAddrPort(f)
		if err != nil || a.Port() == 0 || a.Addr().IsUnspecified() {
			return nil, fmt.Errorf("%q: want IP:PORT", f)
		}
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list, nil
}

func parsePin(value string) (string, error) {
	if sum, err := hex.DecodeString(value); err != nil || len(sum) != 32 {
		return "", fmt.Errorf("%q: want 64 hexadecimal digits", value)
	}
	return strings.ToLower(value), nil
}

// parseBootif reads a hardware type and an address, "01-52-54-00-12-34-56", or the address alone.
func parseBootif(value string) (fleet.MAC, error) {
	if len(value) == len("01-52-54-00-12-34-56") {
		if value[:2] != "01" {
			return fleet.MAC{}, fmt.Errorf("%q: hardware type %s is not Ethernet (01)", value, value[:2])
		}
		value = value[3:]
	}
	return fleet.ParseMAC(value)
}

// joinErrors is errors.Join on one line.
func joinErrors(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	var text []string
	for _, err := range errs {
		text = append(text, err.Error())
	}
	return errors.New(strings.Join(text, "; "))
}
