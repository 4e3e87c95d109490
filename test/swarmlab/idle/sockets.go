package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/samara-hpc/samara/fleet"
)

// sockets are what a process has open to the network. Its network namespace has no other process.
type sockets struct {
	gossips bool // has the port for gossip
	links   int  // connections to other nodes and to controllers of the swarm, each of which may wake it
}

func socketsOf(pid int) (sockets, error) {
	udp, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", pid))
	if err != nil {
		return sockets{}, err
	}
	tcp, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return sockets{}, err
	}
	return parseSockets(string(udp), string(tcp), fleet.DefaultPorts), nil
}

// parseSockets reads the tables of proc_net(5), in which addresses and states are hexadecimal.
func parseSockets(udp, tcp string, ports fleet.Ports) sockets {
	const established = "01"
	var s sockets
	gossip, swarm := fmt.Sprintf(":%04X", ports.Gossip), fmt.Sprintf(":%04X", ports.Swarm)
	for line := range strings.Lines(udp) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasSuffix(f[1], gossip) {
			s.gossips = true
		}
	}
	for line := range strings.Lines(tcp) {
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == established && (strings.HasSuffix(f[1], swarm) || strings.HasSuffix(f[2], swarm)) {
			s.links++
		}
	}
	return s
}
