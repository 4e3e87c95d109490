package ipxe

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// MaxControllers is how many controllers a script names, so that the kernel's command line stays within bounds.
const MaxControllers = 8

// maxCommandLine is what an x86 kernel keeps of its command line: COMMAND_LINE_SIZE, 2048, with the final NUL.
const maxCommandLine = 2047

// How long iPXE, since March 2014, waits for a controller that does not answer, or stops in the middle, before it asks the
// next. What counts is the time without a byte, however slow the link (iPXE, core/monojob.c). Otherwise iPXE tries to
// connect for 16 s, and waits for the rest of a file for ever, or since December 2025 for two minutes. Scripts are small
// and made at once; a kernel may come from a controller that serves a thousand machines over one lossy link, where Linux
// sends a segment for the sixth time after 6 s.
const (
	scriptPatience = 5 * time.Second
	blobPatience   = 10 * time.Second
)

// initrdName is what the initramfs is called between iPXE and the kernel. A kernel started by UEFI asks for the file
// that initrd= names; one started by a BIOS is handed the memory and ignores the argument.
const initrdName = "initrd.img"

// A Boot is what a node's script is made from.
type Boot struct {
	Plan        fleet.BootPlan
	Controllers []fleet.Controller // where to fetch from, the one to ask first in front; at least one
	Control     []fleet.Controller // those for the agent to ask, likewise; as many of them as fit
	Pin         string             // SHA-256 of the cluster's CA key, 64 hexadecimal digits
	Token       string             // the boot token: letters, digits, - and _
}

// Script returns the script that boots the node. The error says which part of b cannot be said to iPXE or to the
// kernel, and what to change.
func (b Boot) Script() ([]byte, error) {
	args, err := b.CommandLine()
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", b.Plan.Node.Name, err)
	}
	v, controllers := b.Plan.Version, limit(b.Controllers)
	var s script
	s.line("#!ipxe")
	s.line("echo")
	s.line("echo %s", text(fmt.Sprintf("Samara: node %s, image %s:%d, kernel %s", b.Plan.Node.Name, b.Plan.Image, v.Number, v.KernelRelease)))
	s.line("imgfree ||")
	s.checkProcessor(v.Arch)
	s.fetch("kernel", "vmlinuz", v.Kernel, controllers)
	s.fetch("initrd", initrdName, v.Initramfs, controllers)
	s.line("imgargs vmlinuz %s || goto failed", args)
	s.line("echo %s", text("Samara: starting the kernel"))
	s.line("boot || goto failed")
	s.line(":failed")
	s.line("echo %s (${errno})", text(fmt.Sprintf("Samara: node %s could not be started", b.Plan.Node.Name)))
	s.retry(b.Plan.Interface.MAC, controllers, 5)
	return s.Bytes(), nil
}

// CommandLine returns the kernel's arguments: those of Samara, then the node's own.
func (b Boot) CommandLine() (string, error) {
	if len(b.Controllers) == 0 || len(b.Control) == 0 {
		return "", fmt.Errorf("%w boot script: no controller", fleet.ErrInvalid)
	}
	if len(b.Pin) != 64 || strings.Trim(b.Pin, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w CA pin %q: want 64 lower-case hexadecimal digits", fleet.ErrInvalid, b.Pin)
	}
	for i, r := range b.Token {
		if !isWordRune(r) { // the token itself is a secret
			return "", fmt.Errorf("%w boot token: character %d is not a letter, a digit, - or _", fleet.ErrInvalid, i+1)
		}
	}
	if b.Token == "" {
		return "", fmt.Errorf("%w boot token: empty", fleet.ErrInvalid)
	}
	for _, a := range b.Plan.Node.KernelArgs {
		if err := checkWord(a); err != nil {
			return "", fmt.Errorf("%w; samara node set %s --kernel-args", err, b.Plan.Node.Name)
		}
	}
	line := ""
	for named := limit(b.Control); len(named) > 0; named = named[:len(named)-1] {
		if line = b.arguments(named); len(line) <= maxCommandLine {
			return line, nil
		}
	}
	return "", fmt.Errorf("%w kernel arguments: %d characters with those of Samara, at most %d", fleet.ErrInvalid, len(line), maxCommandLine)
}

// arguments names those controllers to the agent.
func (b Boot) arguments(named []fleet.Controller) string {
	var control []string
	for _, c := range named {
		control = append(control, fmt.Sprintf("%s:%d", c.Address, c.Ports.Control))
	}
	words := []string{
		"initrd=" + initrdName,
		"samara.ctl=" + strings.Join(control, ","),
		"samara.ca=" + b.Pin,
		"samara.boot=" + b.Token,
		// As pxelinux writes it: the hardware type, 1 for Ethernet, then the address (RFC 826).
		"BOOTIF=01-" + hyphens(b.Plan.Interface.MAC),
	}
	return strings.Join(append(words, b.Plan.Node.KernelArgs...), " ")
}

// Unknown returns the script for a machine that no node claims: it says who it is and how to make it a node, and asks
// again until it is one.
func Unknown(mac fleet.MAC, cluster string, controllers []fleet.Controller) []byte {
	var s script
	s.line("#!ipxe")
	s.line("echo")
	s.line("echo %s", text(fmt.Sprintf("Samara: %s is the MAC address of no node of cluster %s.", mac, cluster)))
	s.line("echo %s", text("To make it one, on a controller: samara node add NAME --mac "+mac.String()+" --ip ADDRESS --image IMAGE"))
	s.retry(mac, limit(controllers), 30)
	return s.Bytes()
}

// Discovered returns the script for a machine that no node claims yet, but that is about to become one: it asks again
// soon.
func Discovered(mac fleet.MAC, cluster string, controllers []fleet.Controller) []byte {
	var s script
	s.line("#!ipxe")
	s.line("echo")
	s.line("echo %s", text(fmt.Sprintf("Samara: %s is new to cluster %s; a node is being chosen for it", mac, cluster)))
	s.retry(mac, limit(controllers), 2)
	return s.Bytes()
}

// Refusal returns the script for a machine that cannot boot for now: it says why, and asks again.
func Refusal(mac fleet.MAC, reason string, controllers []fleet.Controller) []byte {
	var s script
	s.line("#!ipxe")
	s.line("echo")
	s.line("echo %s", text("Samara: "+reason))
	s.retry(mac, limit(controllers), 10)
	return s.Bytes()
}

// Autoexec returns the script that iPXE fetches by the name autoexec.ipxe from where it was loaded itself (iPXE 2021
// and later): it configures the network and asks for the machine's own script.
func Autoexec(controllers []fleet.Controller) []byte {
	var s script
	s.line("#!ipxe")
	s.line(":again")
	s.line("isset ${ip} || dhcp ||")
	s.chain("${netX/mac:hexhyp}", limit(controllers))
	s.line("echo %s", text("Samara: no controller answers; trying again"))
	s.line("sleep 10 ||")
	s.line("dhcp ||")
	s.line("goto again")
	return s.Bytes()
}

// A script is being written. Its methods end each line.
type script struct{ bytes.Buffer }

func (s *script) line(format string, args ...any) {
	fmt.Fprintf(s, format, args...)
	s.WriteByte('\n')
}

// checkProcessor stops a machine whose processor the image is not made for. An iPXE for BIOS calls itself i386
// whatever the processor.
func (s *script) checkProcessor(arch string) {
	complaint := text("Samara: the image is for "+arch+" machines; this iPXE is for") + " ${buildarch}"
	if arch == "arm64" {
		s.line("iseq ${buildarch} arm64 || echo %s", complaint)
		s.line("iseq ${buildarch} arm64 || goto again")
		return
	}
	s.line("iseq ${buildarch} arm64 && echo %s ||", complaint)
	s.line("iseq ${buildarch} arm64 && goto again ||")
}

// fetch loads a blob from the first controller that has it. A controller that goes silent is left after blobPatience.
func (s *script) fetch(command, name string, b fleet.Blob, controllers []fleet.Controller) {
	for _, c := range controllers {
		fmt.Fprintf(s, "%s --timeout %d --name %s %s/blob/%s || ", command, blobPatience.Milliseconds(), name, origin(c), b.Digest)
	}
	s.line("goto failed")
}

// chain goes on with the script for the machine called mac from the first controller that answers.
func (s *script) chain(mac string, controllers []fleet.Controller) {
	for _, c := range controllers {
		s.line("chain --timeout %d --replace %s/boot/%s ||", scriptPatience.Milliseconds(), origin(c), mac)
	}
}

// retry waits and asks every controller for a fresh script, for ever. The wait differs between machines by up to its
// own length, so that a thousand that fail together do not come back together, and it is the same for each machine
// whichever controller writes the script. After ten rounds in which no controller answered, the machine restarts: it
// may have been moved to another network.
func (s *script) retry(mac fleet.MAC, controllers []fleet.Controller, seconds int) {
	h := fnv.New32a()
	h.Write(mac[:])
	s.line(":again")
	s.line("set samara-round:int32 0 ||")
	s.line(":retry")
	s.line("echo %s", text("Samara: trying again"))
	s.line("sleep %d ||", seconds+int(h.Sum32()%uint32(seconds+1)))
	s.line("imgfree ||")
	s.chain(hyphens(mac), controllers)
	s.line("inc samara-round ||")
	s.line("iseq ${samara-round} 10 && reboot ||")
	s.line("goto retry")
}

// origin is where a controller serves what boots.
func origin(c fleet.Controller) string { return fmt.Sprintf("http://%s:%d", c.Address, c.Ports.Boot) }

func limit(controllers []fleet.Controller) []fleet.Controller {
	return controllers[:min(len(controllers), MaxControllers)]
}

func hyphens(m fleet.MAC) string { return strings.ReplaceAll(m.String(), ":", "-") }
