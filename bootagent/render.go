package bootagent

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// renderHosts returns /etc/hosts: what every system expects, the node itself, and the controllers.
func renderHosts(m fleet.Manifest) []byte {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	line := func(a netip.Addr, name string) {
		if !a.IsValid() {
			return
		}
		if m.Domain != "" {
			fmt.Fprintf(&b, "%s\t%s.%s %s\n", a, name, m.Domain, name)
		} else {
			fmt.Fprintf(&b, "%s\t%s\n", a, name)
		}
	}
	line(m.Address.Addr(), m.Node)
	for _, c := range m.Controllers {
		line(c.Address, c.ID)
	}
	return []byte(b.String())
}

// renderResolv returns /etc/resolv.conf. What the plan leaves open is taken from the DHCP answer.
func renderResolv(m fleet.Manifest, a address) []byte {
	servers, domain := m.DNS, m.Domain
	if len(servers) == 0 {
		servers = a.DNS
	}
	if domain == "" && fleet.CheckDomain(a.Domain) == nil {
		domain = a.Domain
	}
	var b strings.Builder
	if domain != "" {
		fmt.Fprintf(&b, "search %s\n", domain)
	}
	for _, s := range servers[:min(len(servers), fleet.MaxDNS)] {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	return []byte(b.String())
}

// mergeKeys returns the image's authorized_keys with the cluster's appended, those that it has already left out.
func mergeKeys(image []byte, keys []string) []byte {
	has := map[string]bool{}
	for line := range strings.Lines(string(image)) {
		has[strings.TrimSpace(line)] = true
	}
	out := bytes.Clone(image)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	for _, k := range keys {
		k = strings.TrimSpace(k)
		if k != "" && !has[k] {
			has[k] = true
			out = append(append(out, k...), '\n')
		}
	}
	return out
}

// rootHome returns the home directory of root according to a passwd(5) file, "/root" if it does not say.
func rootHome(passwd []byte) string {
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) == 7 && f[0] == "root" && strings.HasPrefix(f[5], "/") && len(f[5]) > 1 {
			return f[5]
		}
	}
	return "/root"
}
