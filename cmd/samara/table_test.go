package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/controller"
)

func TestTable(t *testing.T) {
	for what, c := range map[string]struct {
		table table
		want  string
	}{
		"nothing":            {table{}, ""},
		"a head alone":       {table{head: []string{"NAME", "IP"}}, "NAME  IP\n"},
		"columns as wide as": {table{head: []string{"A", "B"}, rows: [][]string{{"long", "x"}, {"y", ""}}}, "A     B\nlong  x\ny\n"},
		"letters, not bytes": {table{rows: [][]string{{"größe", "1"}, {"x", "2"}}}, "größe  1\nx      2\n"},
		"a row that is long": {table{head: []string{"A"}, rows: [][]string{{"1", "2", "3"}}}, "A\n1  2  3\n"},
		"what steers":        {table{rows: [][]string{{"a\x1b[2Jb\n", "c"}}}, "a\ufffd[2Jb\ufffd  c\n"},
	} {
		var b bytes.Buffer
		if err := c.table.write(&b); err != nil || b.String() != c.want {
			t.Errorf("%s: %q, %v; want %q", what, b.String(), err, c.want)
		}
	}
}

func TestNodeTableHasALineForEachPort(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b bytes.Buffer
	views := []api.NodeView{{
		Node: fleet.Node{Name: "n1", Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian", Version: 3}, Interfaces: []fleet.Interface{
			{Name: "default", MAC: fleet.MAC{2, 0, 0, 0, 0, 1}, IP: netip.MustParseAddr("10.1.0.11")}, {Name: "ib0", IP: netip.MustParseAddr("10.2.0.11")}}}},
		State: "ready", Since: now.Add(-90 * time.Second),
	}}
	table := foldedTable(nodes(), []listed{listedNode(&views[0], now)}, longListing(now))
	if err := table.write(&b); err != nil {
		t.Fatal(err)
	}
	want := "NAME  MAC                IP         IMAGE     STATE  SINCE\n" +
		"n1    02:00:00:00:00:01  10.1.0.11  debian:3  ready  1m30s ago\n" +
		"      -                  10.2.0.11\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSizesAndSpans(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_949: "9.9 kB", 9_950: "10 kB", 999_499: "999 kB",
		999_500: "1.0 MB", 523_000_000: "523 MB", 1<<63 - 1: "9.2 EB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0s", 0: "0.0s", 1500 * time.Millisecond: "1.5s", 59 * time.Second: "59s",
		61 * time.Second: "1m01s", 90 * time.Minute: "1h30m", 49 * time.Hour: "2d01h"} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	for what, c := range map[string]struct {
		redraw bool
		want   string
	}{
		"in a log":      {false, "read  10 MB of 100 MB (10%)\nread  60 MB of 100 MB (60%)  5.0 MB/s  8.0s left\nwarning: odd\npublish\n"},
		"on a terminal": {true, "\r\x1b[Kread  10 MB of 100 MB (10%)\r\x1b[Kread  20 MB of 100 MB (20%)  10 MB/s  8.0s left\r\x1b[Kread  60 MB of 100 MB (60%)  5.0 MB/s  8.0s left\nwarning: odd\n\r\x1b[Kpublish\n"},
	} {
		var b bytes.Buffer
		p := newProgress(&b, c.redraw)
		now := time.Unix(0, 0)
		p.now = func() time.Time { return now }
		p.show(api.Progress{}) // a sign of life
		p.show(api.Progress{Step: "read", Done: 10e6, Total: 100e6})
		now = now.Add(time.Second)
		p.show(api.Progress{Step: "read", Done: 20e6, Total: 100e6})
		now = now.Add(9 * time.Second)
		p.show(api.Progress{Step: "read", Done: 60e6, Total: 100e6})
		p.show(api.Progress{Warning: "odd"})
		p.show(api.Progress{Step: "publish"})
		p.end()
		if diff := cmp.Diff(c.want, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestAddressesFrom(t *testing.T) {
	networks := []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/29"), Gateway: netip.MustParseAddr("10.1.0.3")}}
	for what, c := range map[string]struct {
		first string
		n     int
		want  string
	}{
		"one, wherever":         {"10.9.0.1", 1, "10.9.0.1"},
		"past the gateway":      {"10.1.0.2", 3, "10.1.0.2 10.1.0.4 10.1.0.5"},
		"up to the last":        {"10.1.0.4", 3, "10.1.0.4 10.1.0.5 10.1.0.6"},
		"over the last":         {"10.1.0.4", 4, "bad address 10.1.0.4: 4 addresses from there on leave 10.1.0.0/29"},
		"several in no network": {"10.9.0.254", 2, "10.9.0.254 10.9.1.1"},
		"as the mask tells":     {"10.9.0.9", 7, "bad address 10.9.0.9: 7 addresses from there on leave 10.9.0.8/29"},
	} {
		got, err := addressesFrom(netip.MustParseAddr(c.first), c.n, networks, map[string]fleet.Netmask{"as the mask tells": 29}[what])
		text := strings.Join(mapped(got, netip.Addr.String), " ")
		if err != nil {
			text = err.Error()
		}
		if text != c.want || (err != nil) != errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%s: %q, want %q", what, text, c.want)
		}
	}
}

func TestAgents(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte("\x7fELF"))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"agent/samara-agent-amd64.gz": {Data: packed.Bytes()}, "agent/samara-agent-riscv64.gz": {Data: packed.Bytes()[:20]}}
	if b, err := readAgent(files, "amd64"); err != nil || string(b) != "\x7fELF" {
		t.Errorf("agent for amd64: %q, %v", b, err)
	}
	for _, arch := range []string{"arm64", "riscv64"} {
		if _, err := readAgent(files, arch); err == nil || !strings.Contains(err.Error(), "make build") {
			t.Errorf("agent for %s, absent or torn: %v, want an error that names make build", arch, err)
		}
	}
}

// TestInitAsksOnATerminal answers each question, one of them badly at first.
func TestInitAsksOnATerminal(t *testing.T) {
	var got controller.InitOptions
	p := program{
		init:      func(_ context.Context, o controller.InitOptions) error { got = o; return nil },
		hostname:  func() (string, error) { return "Head.example.org", nil },
		addresses: func() ([]netip.Prefix, error) { return []netip.Prefix{netip.MustParsePrefix("10.1.0.1/16")}, nil },
		terminal:  func(any) bool { return true },
	}
	answers := "\nelsewhere\n10.1.0.2\n\n10.1.0.254\nproxy\n"
	var out, said strings.Builder
	if status := run(t.Context(), p, []string{"init", "--dir", "/var/lib/samara"}, strings.NewReader(answers), &out, &said); status != 0 {
		t.Fatalf("status %d: %s", status, said.String())
	}
	want := controller.InitOptions{
		Dir: "/var/lib/samara", Cluster: "samara", ID: "head", Address: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts,
		Networks:       []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.1.0.0/16"), Gateway: netip.MustParseAddr("10.1.0.254"), DHCP: fleet.DHCPProxy}},
		AuthorizedKeys: []string{},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("init (-want +got):\n%s", diff)
	}
	for _, part := range []string{"This machine has 10.1.0.1/16.", "[10.1.0.1]:", `"elsewhere": want an IPv4 address`, "[10.1.0.0/16]:"} {
		if !strings.Contains(said.String(), part) {
			t.Errorf("the dialogue lacks %q:\n%s", part, said.String())
		}
	}
	if status := run(t.Context(), p, []string{"init"}, strings.NewReader("hall3\n"), io.Discard, &said); status != 1 || !strings.Contains(said.String(), "the input ended") {
		t.Errorf("init whose input ends: status %d, %s", status, said.String())
	}
}

// TestEveryCommandIsDescribed holds each command to a line of description and, if it does something, an example.
func TestEveryCommandIsDescribed(t *testing.T) {
	root := newRoot(installed())
	todo := root.Commands()
	seen := 0
	for len(todo) > 0 {
		c := todo[0]
		todo = append(todo[1:], c.Commands()...)
		seen++
		if c.Short == "" || !c.HasSubCommands() && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s: Short %q, Example %q", c.CommandPath(), c.Short, c.Example)
		}
	}
	if seen < 25 {
		t.Errorf("saw %d commands, want all of them", seen)
	}
}

func TestAQuestionCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, typing := io.Pipe()
	defer func() { _ = typing.Close() }()
	p := program{
		hostname:  func() (string, error) { return "head", nil },
		addresses: func() ([]netip.Prefix, error) { return nil, nil },
		terminal:  func(any) bool { return true },
	}
	asked, stderr := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, p, []string{"init"}, in, io.Discard, stderr)
		_ = stderr.Close()
	}()
	buffer := make([]byte, 1)
	if _, err := asked.Read(buffer); err != nil {
		t.Fatal(err)
	}
	cancel()
	said, err := io.ReadAll(asked)
	if err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status != exitFailed || !strings.HasSuffix(string(said), "samara: interrupted\n") {
		t.Errorf("status %d, said %q", status, said)
	}
}
