package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/config"
	"github.com/samara-hpc/samara/internal/identity"
)

// What is measured: clusters of few and of many nodes, with this many profiles.
const (
	few      = 1000
	many     = 10_000
	profiles = 30
)

// everyone is the profile that all nodes use.
const everyone = "p00"

// site returns a configuration as sites have them. Every node uses three profiles, of which one is everyone, and has an
// Ethernet and an InfiniBand interface and a BMC. Two that differ in what differ in every node.
func site(nodes int, what string) config.Documents {
	d := config.Documents{Networks: []fleet.Network{{Name: "large", Subnet: netip.MustParsePrefix("10.64.0.0/16"), DHCP: fleet.DHCPOff}}}
	for i := range profiles {
		d.Profiles = append(d.Profiles, profile(fmt.Sprintf("p%02d", i), "x"))
	}
	for i := range nodes {
		high, low := byte(1+i/250), byte(1+i%250)
		d.Nodes = append(d.Nodes, fleet.Node{
			Name:     fmt.Sprintf("n%05d", i),
			Profiles: []string{everyone, fmt.Sprintf("p%02d", 1+i%10), fmt.Sprintf("p%02d", 11+i%(profiles-11))},
			Settings: fleet.Settings{
				Rack: fmt.Sprintf("r%03d", i/40), Tags: map[string]string{"delivery": what},
				Interfaces: []fleet.Interface{
					{Name: "default", Device: "eno1", MAC: fleet.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}, IP: netip.AddrFrom4([4]byte{10, 64, high, low})},
					{Name: "ib", Type: "infiniband", Device: "ib0", MTU: 2044},
				},
				BMC: fleet.BMC{Address: netip.AddrFrom4([4]byte{10, 65, high, low})},
			},
		})
	}
	return d
}

// profile returns a profile that says a word of its own.
func profile(name, word string) fleet.Profile {
	return fleet.Profile{Name: name, Settings: fleet.Settings{
		KernelArgs: []string{name + "=" + word}, Tags: map[string]string{name: word}, BMC: fleet.BMC{User: "admin", Driver: "lanplus"},
	}}
}

// text returns a configuration as YAML.
func text(d config.Documents) ([]byte, error) {
	var b bytes.Buffer
	err := config.Encode(&b, d)
	return b.Bytes(), err
}

// stateOf returns the state of a cluster with a configuration.
func stateOf(d config.Documents) (fleet.State, error) {
	ca, _, err := identity.NewAuthority("bench", time.Now())
	if err != nil {
		return fleet.State{}, err
	}
	key := make(fleet.Secret, 32)
	begin := fleet.InitCluster{Cluster: fleet.Cluster{Name: "bench", ID: "42", Format: fleet.Format, CA: ca, CAKey: key, MeshKey: key, TokenKey: key, IDKey: key,
		Controllers: []fleet.Controller{{ID: "head", Address: netip.MustParseAddr("10.77.0.1"), Ports: fleet.DefaultPorts}}},
		Networks: []fleet.Network{{Name: "boot", Subnet: netip.MustParsePrefix("10.77.0.0/24"), DHCP: fleet.DHCPOff}}}
	var state fleet.State
	for _, c := range []fleet.Command{begin, d.Edit()} {
		if state, err = state.Apply(fleet.Entry{Command: c, At: time.Now()}, state.Revision()+1); err != nil {
			return fleet.State{}, fmt.Errorf("%s: %w", c.Kind(), err)
		}
	}
	return state, nil
}
