package config

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// configuration returns what a state has, as Documents.
func configuration(s fleet.State) Documents {
	d := Documents{Nodes: slices.Collect(s.Nodes()), Profiles: slices.Collect(s.Profiles()), Networks: slices.Collect(s.Networks())}
	if c, ok := s.Cluster(); ok {
		settings := c.Settings()
		d.Cluster = &settings
	}
	return d
}

// apply returns the state after a command.
func apply(t *testing.T, s fleet.State, c fleet.Command) fleet.State {
	t.Helper()
	s, err := s.Apply(fleet.Entry{Command: c, At: time.Date(2026, 1, 31, 18, 0, 0, 0, time.UTC), Who: "root"}, s.Revision()+1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestApplyingWhatIsExportedChangesNothing has a state written, read and applied.
func TestApplyingWhatIsExportedChangesNothing(t *testing.T) {
	d, err := Parse(File{"site.yaml", []byte(`
nodeprofiles:
  default:
    kernel: {args: [quiet, console=ttyS0]}
    network devices: {default: {netmask: 255.255.0.0, gateway: 10.1.0.1}}
    ipmi: {username: admin, password: secret, tags: {vlan: 42, bit-rate: '115200'}}
    resources: {fstab: [{spec: 'head:/home', file: /home, passno: 0}]}
  gpu: {profiles: [default], tags: {gpu: a100}}
nodes:
  n[1-40]:
    profiles: [gpu, ~default]
    kernel: {args: [~quiet]}
    network devices:
      ib: {type: infiniband, onboot: false}
      default: {ipaddr: 10.1.0.240}
    disks: {/dev/sda: {wipe_table: true, partitions: {swap: {size_mib: 512}, root: {number: 1}}}}
    filesystems: {/dev/disk/by-partlabel/root: {format: ext4, path: /}}
  n99: {network devices: {default: {hwaddr: '52:54:00:12:34:56'}}, reseed: 30m, upload_limit: 1048576}
networks:
  boot: {subnet: 10.1.0.0/16, gateway: 10.1.0.1, dhcp: full, dns: [10.1.0.2], discovery: 10.1.9.1-10.1.9.99}
cluster:
  authorized_keys: [ssh-ed25519 AAAA root@head]
  seeding: {node_upload: 1000000}
`)})
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{1}, 32)
	var s fleet.State
	s = apply(t, s, &fleet.InitCluster{Cluster: fleet.Cluster{Name: "test", ID: "id", CA: key, CAKey: key, MeshKey: key, TokenKey: key, IDKey: key, Format: fleet.Format,
		Controllers: []fleet.Controller{{ID: "head", Address: netip.MustParseAddr("10.1.0.3"), Ports: fleet.DefaultPorts}}}})
	s = apply(t, s, d.Edit())
	text := encoded(t, configuration(s))
	again, err := Parse(File{"export.yaml", text})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	next := apply(t, s, again.Edit())
	if got := encoded(t, configuration(next)); !bytes.Equal(got, text) {
		t.Errorf("after applying\n%s\nit is\n%s", text, got)
	}
	if next.ConfigHash() != s.ConfigHash() {
		t.Error("applying what was exported changed the configuration")
	}
	for n := range next.Nodes() {
		if was, _ := s.Node(n.Name); n.Revision != was.Revision {
			t.Errorf("node %s has changed", n.Name)
		}
	}
	p, _ := next.Profile("default")
	if string(p.BMC.Password) != "secret" {
		t.Error("the secret is lost")
	}
}
