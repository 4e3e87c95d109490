package bootagent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
)

var (
	testPin = strings.Repeat("ab", 32)
	compare = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
)

func TestParseCmdline(t *testing.T) {
	good := "samara.ctl=10.0.0.1:7600,10.0.0.2:7600 samara.ca=" + testPin + " samara.boot=tok "
	base := cmdline{
		Controllers: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:7600"), netip.MustParseAddrPort("10.0.0.2:7600")},
		Pin:         testPin, Token: "tok",
	}
	with := func(change func(*cmdline)) cmdline {
		c := base
		change(&c)
		return c
	}
	mac := fleet.MAC{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	for name, tc := range map[string]struct {
		text    string
		want    cmdline
		problem string // in the error; "" for none
	}{
		"what Samara writes":          {good + "BOOTIF=01-52-54-00-12-34-56\n", with(func(c *cmdline) { c.BootMAC = mac }), ""},
		"BOOTIF without a type":       {good + "BOOTIF=52:54:00:12:34:56", with(func(c *cmdline) { c.BootMAC = mac }), ""},
		"init and rescue":             {good + "init=/usr/bin/x samara.rescue quiet", with(func(c *cmdline) { c.Init, c.Rescue = "/usr/bin/x", true }), ""},
		"the last counts":             {good + "samara.boot=a samara.boot=b", with(func(c *cmdline) { c.Token = "b" }), ""},
		"a quoted argument":           {good + `init="/a b"`, with(func(c *cmdline) { c.Init = "/a b" }), ""},
		"a pin in upper case":         {good + "samara.ca=" + strings.ToUpper(testPin), base, ""},
		"a controller twice":          {good + "samara.ctl=10.0.0.1:7600,10.0.0.1:7600", with(func(c *cmdline) { c.Controllers = base.Controllers[:1] }), ""},
		"an InfiniBand BOOTIF":        {good + "BOOTIF=20-52-54-00-12-34-56", base, "BOOTIF"},
		"nothing at all":              {"", cmdline{}, "no usable samara.boot; no usable samara.ca; no usable samara.ctl"},
		"a controller without a port": {"samara.rescue samara.ctl=10.0.0.1 samara.boot=tok samara.ca=" + testPin, cmdline{Pin: testPin, Token: "tok", Rescue: true}, "want IP:PORT"},
		"a short pin":                 {"samara.ca=abcd", cmdline{}, "64 hexadecimal"},
		"too many controllers":        {"samara.ctl=" + strings.Repeat("10.0.0.1:1,", 20) + "10.0.0.1:1", cmdline{}, "at most 16"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseCmdline(tc.text)
			if diff := cmp.Diff(tc.want, got, compare); diff != "" {
				t.Errorf("parseCmdline(%q): %s", tc.text, diff)
			}
			if (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("parseCmdline(%q): error %v, want one with %q", tc.text, err, tc.problem)
			}
		})
	}
}

func FuzzParseCmdline(f *testing.F) {
	f.Add("samara.ctl=10.0.0.1:7600 samara.ca=" + testPin + " samara.boot=t BOOTIF=01-52-54-00-12-34-56 init=\"a b\"")
	f.Add("\"\"\" = == samara.ctl=,,")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCmdline(text)
		if err == nil && (len(c.Controllers) == 0 || len(c.Controllers) > maxControllers || len(c.Pin) != 64 || c.Token == "") {
			t.Errorf("parseCmdline(%q) accepts %+v", text, c)
		}
		if err != nil && strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
			t.Errorf("parseCmdline(%q): error of several lines: %v", text, err)
		}
	})
}

func TestSplitArgs(t *testing.T) {
	for text, want := range map[string][]string{
		"":                   nil,
		"  a\tb\n":           {"a", "b"},
		`a="b c" d`:          {"a=b c", "d"},
		`"a b=c d" e`:        {"a b=c d", "e"},
		`a "" b`:             {"a", "", "b"},
		`unclosed="a b`:      {"unclosed=a b"},
		"mod.opt=1 -- -s -x": {"mod.opt=1", "--", "-s", "-x"},
	} {
		if got := splitArgs(text); !slices.Equal(got, want) {
			t.Errorf("splitArgs(%q) = %q, want %q", text, got, want)
		}
	}
}
