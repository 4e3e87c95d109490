package ipxe

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// A machine runs a script as iPXE does (iPXE, core/exec.c and image/script.c): lines are split at blanks, ended by
// || && ; and #, then expanded. It fails the test where a real machine would leave the script.
type machine struct {
	t        testing.TB
	settings map[string]string
	fails    func(url string) bool // whether fetching it fails

	fetched []string          // every URL that was asked for
	images  map[string]string // command line by image name
	printed []string
	outcome string // "boot", "reboot" or "chain URL"
}

func newMachine(t testing.TB, buildarch string, fails func(string) bool) *machine {
	return &machine{t: t, settings: map[string]string{"buildarch": buildarch, "netX/mac:hexhyp": "52-54-00-00-00-01", "asset:hexhyp": "41-20-26"}, fails: fails, images: map[string]string{}}
}

// run follows the script to its outcome, or for 500 lines.
func (m *machine) run(script []byte) {
	lines := strings.Split(strings.TrimSuffix(string(script), "\n"), "\n")
	if lines[0] != "#!ipxe" {
		m.t.Fatalf("first line %q", lines[0])
	}
	labels := map[string]int{}
	for i, l := range lines {
		if name, ok := strings.CutPrefix(l, ":"); ok {
			labels[name] = i
		}
	}
	for at, steps := 0, 0; m.outcome == "" && steps < 500; steps++ {
		if at >= len(lines) {
			m.t.Fatalf("ran off the end of the script")
		}
		line := lines[at]
		at++
		if strings.HasPrefix(line, ":") {
			continue
		}
		target, ok := m.command(strings.Fields(line))
		if !ok {
			m.t.Fatalf("the script ends at the failure of %q", line)
		}
		if target != "" {
			if at, ok = labels[target]; !ok {
				m.t.Fatalf("no label %q", target)
			}
		}
	}
}

// command runs one line and returns where to go to, if anywhere, and whether the line succeeded.
func (m *machine) command(words []string) (target string, ok bool) {
	ok, process := true, true
	for {
		end := 0
		for end < len(words) && words[end] != "||" && words[end] != "&&" && words[end] != ";" && words[end][0] != '#' {
			end++
		}
		if process {
			ok = true
			if end > 0 {
				target, ok = m.execute(m.expand(words[:end]))
			}
			if target != "" || m.outcome != "" {
				return target, true
			}
		}
		if end >= len(words) || words[end][0] == '#' {
			return "", ok
		}
		process = words[end] == ";" || (words[end] == "&&") == ok
		words = words[end+1:]
	}
}

func (m *machine) expand(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		for name, value := range m.settings {
			w = strings.ReplaceAll(w, "${"+name+"}", value)
		}
		if before, rest, found := strings.Cut(w, "${"); found { // unset
			_, after, _ := strings.Cut(rest, "}")
			w = before + after
		}
		out[i] = w
	}
	return out
}

func (m *machine) fetch(url string) bool {
	m.fetched = append(m.fetched, url)
	return !m.fails(url)
}

func (m *machine) execute(w []string) (target string, ok bool) {
	switch w[0] {
	case "echo":
		m.printed = append(m.printed, strings.Join(w[1:], " "))
	case "imgfree":
		m.images = map[string]string{}
	case "sleep":
		return "", false // as when someone presses Ctrl-C
	case "dhcp":
		m.settings["ip"] = "10.1.0.11"
	case "isset":
		return "", w[1] != ""
	case "iseq":
		return "", w[1] == w[2]
	case "set":
		m.settings[strings.TrimSuffix(w[1], ":int32")] = w[2]
	case "inc":
		n := 0
		fmt.Sscan(m.settings[w[1]], &n)
		m.settings[w[1]] = fmt.Sprint(n + 1)
	case "goto":
		return w[1], true
	case "kernel", "initrd":
		name, url := m.options(w)
		if name == "" {
			m.t.Fatalf("an image without a name: %q", w)
		}
		if !m.fetch(url) {
			return "", false
		}
		m.images[name] = ""
	case "imgargs":
		if _, found := m.images[w[1]]; !found {
			return "", false
		}
		m.images[w[1]] = strings.Join(w[2:], " ")
	case "chain":
		_, url := m.options(w)
		if !m.fetch(url) {
			return "", false
		}
		m.outcome = "chain " + url
	case "boot":
		if m.fails("boot") {
			return "", false
		}
		m.outcome = "boot"
	case "reboot":
		m.outcome = "reboot"
	default:
		m.t.Fatalf("iPXE has no command %q", w[0])
	}
	return "", true
}

// options reads those of a command that fetches.
func (m *machine) options(w []string) (name, url string) {
	i := 1
	for ; i < len(w) && strings.HasPrefix(w[i], "--"); i++ {
		switch w[i] {
		case "--timeout":
			i++
			if ms, err := strconv.Atoi(w[i]); err != nil || ms < 1000 {
				m.t.Fatalf("bad time in %q", w)
			}
		case "--name":
			i++
			name = w[i]
		case "--replace":
		default:
			m.t.Fatalf("iPXE has no option %q in %q", w[i], w)
		}
	}
	if i != len(w)-1 {
		m.t.Fatalf("bad command %q", w)
	}
	return name, w[i]
}
