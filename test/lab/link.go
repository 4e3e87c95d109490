package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A Link is a cable: a pair of interfaces, one in a host or a rack, the other at the bridge that it is plugged into.
type Link struct {
	near, far end
}

// An end is an interface in a namespace.
type end struct {
	space  Namespace
	device string
}

// plug lays a cable between two namespaces. The far interface becomes a port of the bridge there.
func plug(near, far end, address string) (Link, error) {
	for _, args := range [][]string{
		{"-n", far.space.Name, "link", "add", "name", far.device, "type", "veth", "peer", "name", near.device, "address", address, "netns", near.space.Name},
		{"-n", far.space.Name, "link", "set", far.device, "master", Bridge, "up"},
	} {
		if err := ip(args...); err != nil {
			return Link{}, err
		}
	}
	return Link{near, far}, nil
}

// What a limited link keeps for later. A burst holds the largest packet that TCP hands down in one go, with the headers
// of the parts into which a real interface would cut it: a larger one would be cut here, at the processor's expense.
const (
	linkBurst = 128 << 10 // bytes
	linkQueue = 10        // the part of a second that may wait, as 1/linkQueue; at least two bursts
)

// Limit lets through at most rate bytes per second in each direction, headers of Ethernet included; what comes faster
// waits in a queue as long as a tenth of a second, and beyond that is lost. It replaces an earlier limit; 0 lifts it.
func (l Link) Limit(rate int64) error {
	for _, e := range []end{l.near, l.far} {
		args := []string{"-n", e.space.Name, "qdisc", "replace", "dev", e.device, "root"}
		if rate > 0 {
			args = append(args, "tbf", "rate", strconv.FormatInt(8*rate, 10)+"bit",
				"burst", strconv.Itoa(linkBurst), "limit", strconv.FormatInt(max(2*linkBurst, rate/linkQueue), 10))
		} else {
			args = append(args, "noqueue")
		}
		if err := tc(args...); err != nil {
			return fmt.Errorf("limit %s: %w", e.device, err)
		}
	}
	return nil
}

// Traffic is what has passed a link since it was laid, in bytes. The kernel hands TCP's data over in large packets, so
// that few headers are among them.
type Traffic struct {
	Out int64 // from the host or rack
	In  int64 // to it
}

// Traffic returns what has passed. The counts outlive the programs that use the link.
func (l Link) Traffic() (Traffic, error) {
	counts, err := l.far.space.counters()
	if err != nil {
		return Traffic{}, fmt.Errorf("count the bytes on %s: %w", l.far.device, err)
	}
	t, ok := counts[l.far.device]
	if !ok {
		return Traffic{}, fmt.Errorf("count the bytes on %s: network %s has no such interface", l.far.device, l.far.space.Name)
	}
	return t, nil
}

// counters returns what has passed the interfaces of a namespace, as seen from the other side of each.
func (n Namespace) counters() (map[string]Traffic, error) {
	var text []byte
	err := n.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		return nil, err
	}
	return parseCounters(text)
}

// parseCounters reads proc_net_dev(5): two lines of headings, then an interface a line with what it received, and what
// it sent in the ninth place.
func parseCounters(text []byte) (map[string]Traffic, error) {
	counts := map[string]Traffic{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue // a heading
		}
		fields := strings.Fields(rest)
		if len(fields) < 9 {
			return nil, fmt.Errorf("/proc/net/dev has the line %q", lines.Text())
		}
		received, errIn := strconv.ParseInt(fields[0], 10, 64)
		sent, errOut := strconv.ParseInt(fields[8], 10, 64)
		if errIn != nil || errOut != nil {
			return nil, fmt.Errorf("/proc/net/dev has the line %q", lines.Text())
		}
		counts[strings.TrimSpace(name)] = Traffic{Out: received, In: sent}
	}
	return counts, lines.Err()
}
