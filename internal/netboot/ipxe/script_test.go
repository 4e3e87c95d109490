package ipxe

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
)

var update = flag.Bool("update", false, "write the golden scripts anew")

var testMAC = fleet.MAC{0x52, 0x54, 0, 0, 0, 1}

func controllers(n int) []fleet.Controller {
	var all []fleet.Controller
	for i := range n {
		all = append(all, fleet.Controller{ID: "c", Address: netip.AddrFrom4([4]byte{10, 1, 0, byte(i + 1)}), Ports: fleet.DefaultPorts})
	}
	return all
}

func testBoot(n int) Boot {
	return Boot{
		Plan: fleet.BootPlan{
			Node:      fleet.Node{Name: "n1", Settings: fleet.Settings{KernelArgs: []string{"console=ttyS0,115200", "quiet", "--", "foo=a|b;c#d"}}},
			Interface: fleet.Interface{Name: "default", MAC: testMAC, IP: netip.MustParseAddr("10.1.0.11")},
			Image:     "debian",
			Version: fleet.ImageVersion{
				Number: 3, Arch: "amd64", KernelRelease: "6.1.0-21-amd64",
				Kernel: fleet.Blob{Digest: fleet.Digest{0xaa}, Size: 1}, Initramfs: fleet.Blob{Digest: fleet.Digest{0xbb}, Size: 1},
			},
		},
		Controllers: controllers(n), Control: controllers(n), Pin: strings.Repeat("0123456789abcdef", 4), Token: "tok_EN-1",
	}
}

const wantArgs = "initrd=initrd.img samara.ctl=10.1.0.1:7600,10.1.0.2:7600 " +
	"samara.ca=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef samara.boot=tok_EN-1 " +
	"BOOTIF=01-52-54-00-00-00-01 console=ttyS0,115200 quiet -- foo=a|b;c#d"

func mustScript(t testing.TB, b Boot) []byte {
	t.Helper()
	s, err := b.Script()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGoldenScripts(t *testing.T) {
	arm := testBoot(1)
	arm.Plan.Version.Arch = "arm64"
	for name, got := range map[string][]byte{
		"boot":       mustScript(t, testBoot(1)),
		"boot-three": mustScript(t, testBoot(3)),
		"boot-arm64": mustScript(t, arm),
		"unknown":    Unknown(testMAC, "demo", controllers(2)),
		"discovered": Discovered(testMAC, "demo", controllers(2)),
		"refusal":    Refusal(testMAC, `node n1: image not found: it has none; samara node set n1 --image NAME`, controllers(1)),
		"autoexec":   Autoexec(controllers(2)),
		"asset":      AskAsset(testMAC, controllers(2)),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".ipxe")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("differs from %s (-want +got), go test -update writes it anew:\n%s", path, diff)
			}
		})
	}
}

func TestScriptRunsToItsOutcome(t *testing.T) {
	never := func(string) bool { return false }
	always := func(string) bool { return true }
	first := func(url string) bool { return strings.Contains(url, "//10.1.0.1:") }
	blobs := func(url string) bool { return strings.Contains(url, "/blob/") }
	arm := testBoot(2)
	arm.Plan.Version.Arch = "arm64"
	const script1, script2 = "chain http://10.1.0.1:7601/boot/52-54-00-00-00-01", "chain http://10.1.0.2:7601/boot/52-54-00-00-00-01"
	cases := map[string]struct {
		script []byte
		arch   string
		fails  func(string) bool
		want   string
		says   string
	}{
		"all is well":                     {mustScript(t, testBoot(2)), "x86_64", never, "boot", "image debian:3"},
		"BIOS":                            {mustScript(t, testBoot(2)), "i386", never, "boot", ""},
		"first controller is dead":        {mustScript(t, testBoot(2)), "x86_64", first, "boot", ""},
		"no kernel anywhere":              {mustScript(t, testBoot(2)), "x86_64", blobs, script1, "could not be started"},
		"the kernel does not start":       {mustScript(t, testBoot(2)), "x86_64", func(s string) bool { return s == "boot" }, script1, "could not be started"},
		"every controller is dead":        {mustScript(t, testBoot(2)), "x86_64", always, "reboot", "trying again"},
		"image for another processor":     {mustScript(t, testBoot(2)), "arm64", first, script2, "the image is for amd64 machines; this iPXE is for arm64"},
		"arm64":                           {mustScript(t, arm), "arm64", never, "boot", ""},
		"arm64 image, another processor":  {mustScript(t, arm), "x86_64", never, script1, "this iPXE is for x86_64"},
		"unknown machine":                 {Unknown(testMAC, "demo", controllers(2)), "x86_64", first, script2, "52:54:00:00:00:01 is the MAC address of no node of cluster demo"},
		"unknown machine, nobody answers": {Unknown(testMAC, "demo", controllers(2)), "x86_64", always, "reboot", ""},
		"refusal":                         {Refusal(testMAC, "it has no image", controllers(2)), "x86_64", never, script1, "it has no image"},
		"autoexec":                        {Autoexec(controllers(2)), "x86_64", first, script2, ""},
		"asset tag":                       {AskAsset(testMAC, controllers(2)), "x86_64", first, script2 + "?asset=41-20-26", ""},
		"asset tag, nobody answers":       {AskAsset(testMAC, controllers(2)), "x86_64", always, "reboot", "no controller answers"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, c.arch, c.fails)
			m.run(c.script)
			if m.outcome != c.want {
				t.Errorf("got outcome %q, want %q; it fetched %q", m.outcome, c.want, m.fetched)
			}
			if !strings.Contains(strings.Join(m.printed, "\n"), c.says) {
				t.Errorf("got %q on the console, want %q among it", m.printed, c.says)
			}
		})
	}
}

func TestEveryControllerIsTriedForEachFile(t *testing.T) {
	tried := map[string]int{} // "boot" among them
	m := newMachine(t, "x86_64", func(url string) bool {
		tried[url]++
		return strings.Contains(url, "/blob/aa") && !strings.Contains(url, "//10.1.0.3:") || strings.Contains(url, "//10.1.0.1:")
	})
	m.run(mustScript(t, testBoot(3)))
	if m.outcome != "boot" || len(tried) != 6 {
		t.Errorf("got outcome %q after %v", m.outcome, tried)
	}
}

func TestCommandLineNamesAsManyControllersAsFit(t *testing.T) {
	b := testBoot(1)
	b.Control = controllers(8)
	for args, want := range map[int]int{0: 8, 18: 6, 19: 0} {
		b.Plan.Node.KernelArgs = slices.Repeat([]string{strings.Repeat("x", 99)}, args)
		line, err := b.CommandLine()
		_, rest, _ := strings.Cut(line, "samara.ctl=")
		list, _, _ := strings.Cut(rest, " ")
		if got := strings.Count(list, ":"); got != want || (err == nil) != (want > 0) || len(line) > maxCommandLine {
			t.Errorf("%d long arguments: %d controllers in %d characters, %v; want %d", args, got, len(line), err, want)
		}
	}
}

func TestKernelReceivesItsCommandLine(t *testing.T) {
	m := newMachine(t, "x86_64", func(string) bool { return false })
	m.run(mustScript(t, testBoot(2)))
	if got := m.images["vmlinuz"]; got != wantArgs {
		t.Errorf("got  %q\nwant %q", got, wantArgs)
	}
	if _, ok := m.images["initrd.img"]; !ok {
		t.Errorf("got images %v, want initrd.img among them", m.images)
	}
}

func TestWhatCannotBeSaidIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Boot){
		"no controller":              func(b *Boot) { b.Controllers = nil },
		"empty token":                func(b *Boot) { b.Token = "" },
		"token with a blank":         func(b *Boot) { b.Token = "a b" },
		"token with a setting":       func(b *Boot) { b.Token = "${mac}" },
		"short pin":                  func(b *Boot) { b.Pin = "abc" },
		"pin that is no number":      func(b *Boot) { b.Pin = strings.Repeat("g", 64) },
		"argument that is a comment": func(b *Boot) { b.Plan.Node.KernelArgs = []string{"#x"} },
		"argument that is ||":        func(b *Boot) { b.Plan.Node.KernelArgs = []string{"||"} },
		"argument that is &&":        func(b *Boot) { b.Plan.Node.KernelArgs = []string{"&&"} },
		"argument that is ;":         func(b *Boot) { b.Plan.Node.KernelArgs = []string{";"} },
		"argument with a line break": func(b *Boot) { b.Plan.Node.KernelArgs = []string{"a\nboot"} },
		"argument with a setting":    func(b *Boot) { b.Plan.Node.KernelArgs = []string{"a=${net0/mac}"} },
		"empty argument":             func(b *Boot) { b.Plan.Node.KernelArgs = []string{""} },
		"too many arguments":         func(b *Boot) { b.Plan.Node.KernelArgs = slices.Repeat([]string{strings.Repeat("x", 99)}, 20) },
	} {
		t.Run(name, func(t *testing.T) {
			b := testBoot(1)
			change(&b)
			script, err := b.Script()
			if !errors.Is(err, fleet.ErrInvalid) || script != nil {
				t.Errorf("got %q, %v; want ErrInvalid", script, err)
			}
			if err != nil && b.Token != "" && strings.Contains(err.Error(), b.Token) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

func TestLargestCommandLineFits(t *testing.T) {
	b := testBoot(20)
	b.Token = strings.Repeat("t", 250)
	b.Plan.Node.KernelArgs = slices.Repeat([]string{strings.Repeat("x", 99)}, 13) // what fleet allows
	mustScript(t, b)
}

func TestMachinesDoNotRetryTogether(t *testing.T) {
	waits := map[string]bool{}
	for i := range 100 {
		s := string(Refusal(fleet.MAC{0x52, 0x54, 0, 0, 0, byte(i)}, "x", controllers(1)))
		_, after, _ := strings.Cut(s, "\nsleep ")
		wait, _, _ := strings.Cut(after, " ")
		waits[wait] = true
	}
	if len(waits) < 10 {
		t.Errorf("100 machines share %d waits, want at least 10", len(waits))
	}
}

// FuzzRefusal holds for any reason: it stays one line of the console, and the machine goes on to ask again.
func FuzzRefusal(f *testing.F) {
	for _, s := range []string{"", "plain", "a || boot", "${uuid}", "#", "x\n:again\nreboot", "--help", ";", "a ; reboot", "é\x00\x7f", "\\", "- -"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, reason string) {
		m := newMachine(t, "x86_64", func(string) bool { return false })
		script := Refusal(testMAC, reason, controllers(1))
		m.run(script)
		if m.outcome != "chain http://10.1.0.1:7601/boot/52-54-00-00-00-01" || len(m.printed) != 3 {
			t.Errorf("reason %q: outcome %q, console %q, script:\n%s", reason, m.outcome, m.printed, script)
		}
	})
}

// FuzzKernelArgument holds for any argument: it is refused, or the kernel receives it unchanged.
func FuzzKernelArgument(f *testing.F) {
	for _, s := range []string{"quiet", "#", "||", "a||b", "${x}", "a b", "\n", "--help", "-", "=", "\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		b := testBoot(1)
		b.Plan.Node.KernelArgs = []string{arg, "last"}
		script, err := b.Script()
		if err != nil {
			return
		}
		m := newMachine(t, "x86_64", func(string) bool { return false })
		m.run(script)
		if got := m.images["vmlinuz"]; m.outcome != "boot" || !strings.HasSuffix(got, " BOOTIF=01-52-54-00-00-00-01 "+arg+" last") {
			t.Errorf("argument %q: outcome %q, command line %q", arg, m.outcome, got)
		}
	})
}
