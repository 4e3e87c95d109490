package api

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

func TestExplainSaysHowANodeBootsOrWhyNot(t *testing.T) {
	rig := newSite(t)
	port := func(mac byte, ip string) []fleet.Interface {
		i := fleet.Interface{Name: "default"}
		if mac != 0 {
			i.MAC = fleet.MAC{2, 7, 0, 0, 0, mac}
		}
		if ip != "" {
			i.IP = netip.MustParseAddr(ip)
		}
		return []fleet.Interface{i}
	}
	edit := fleet.Edit{Puts: []fleet.Object{
		{Network: &fleet.Network{Name: "dark", Subnet: netip.MustParsePrefix("10.3.0.0/24"), DHCP: fleet.DHCPOff}},
		{Network: &fleet.Network{Name: "guest", Subnet: netip.MustParsePrefix("10.4.0.0/24"), DHCP: fleet.DHCPProxy}},
		{Profile: &fleet.Profile{Name: "os", Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian"}}}},
	}}
	for name, ports := range map[string][]fleet.Interface{
		"good": port(1, "10.1.0.21"), "nomac": port(0, "10.1.0.22"), "noip": port(3, ""), "off": port(4, "10.3.0.2"), "proxied": port(5, "10.4.0.2"), "bare": nil, "empty": port(0, ""),
	} {
		edit.Puts = append(edit.Puts, fleet.Object{Node: &fleet.Node{Name: name, Profiles: []string{"os", "gpu"}, Settings: fleet.Settings{Interfaces: ports}}})
	}
	edit.Puts = append(edit.Puts, fleet.Object{Node: &fleet.Node{Name: "noimage", Settings: fleet.Settings{Interfaces: port(6, "10.1.0.26"), KernelArgs: []string{"a=b"}}}})
	propose(t, rig.memory, edit, fleet.ArmDiscovery{Names: []string{"nomac"}, Until: time.Now().Add(time.Hour)})
	for name, want := range map[string]struct {
		boots    bool
		obstacle string // in one of them; "" if there must be none
		answer   string
		armed    bool
	}{
		"good":    {true, "", "address 10.1.0.21/24", false},
		"nomac":   {false, "samara node set nomac --mac MAC, or samara node discover nomac", "", true},
		"noip":    {false, "samara node set noip --ip ADDRESS", "", false},
		"off":     {false, "samara network set dark --dhcp full", "none: DHCP is off on network dark", false},
		"proxied": {true, "", "another server on network guest gives the address, which must be 10.4.0.2", false},
		"bare":    {false, "samara node set bare --mac MAC --ip ADDRESS", "", false},
		"empty":   {false, "samara node set empty --mac MAC --ip ADDRESS", "", false},
		"noimage": {false, "samara node set noimage --image NAME", "address 10.1.0.26/24", false},
	} {
		e, err := rig.local(t).Explain(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if e.Boots != want.boots || (e.Armed != "") != want.armed || (len(e.Obstacles) == 0) != (want.obstacle == "") || !strings.Contains(strings.Join(e.Obstacles, "\n"), want.obstacle) {
			t.Errorf("%s: boots %t, armed %q, obstacles %q; want boots %t, armed %t and %q", name, e.Boots, e.Armed, e.Obstacles, want.boots, want.armed, want.obstacle)
		}
		if want.answer != "" && (len(e.Interfaces) != 1 || !strings.Contains(e.Interfaces[0].Answer, want.answer)) {
			t.Errorf("%s: interfaces %+v, want the answer %q", name, e.Interfaces, want.answer)
		}
	}
	e, err := rig.local(t).Explain(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	if e.Image == nil || e.Image.Version != 1 || !e.Image.Latest || !slices.Equal(e.Arguments, []string{"quiet"}) {
		t.Errorf("good boots %+v with %q, want debian:1 with quiet", e.Image, e.Arguments)
	}
	if scripts := e.Interfaces[0].Scripts; !slices.Equal(scripts, []string{"http://10.1.0.1:7601/boot/02:07:00:00:00:01"}) {
		t.Errorf("good asks for %q", scripts)
	}
	if at := slices.IndexFunc(e.Settings, func(p fleet.Provenance) bool { return p.Field == "image" }); at < 0 || e.Settings[at].Source != "os" {
		t.Errorf("the image of good comes from %+v, want profile os", e.Settings)
	}
	if _, err := rig.local(t).Explain(t.Context(), "n9"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("Explain of a node that is not there: %v, want ErrNotFound", err)
	}
}

func TestExplainNotesWhatABootDoesNotHeed(t *testing.T) {
	rig := newSite(t)
	propose(t, rig.memory, putNodes(fleet.Node{Name: "odd", AssetKey: "A-7", Settings: fleet.Settings{Image: fleet.ImageRef{Name: "debian"}, KernelVersion: "6.1",
		Init: "/bin/init", KernelArgs: []string{"init=/bin/sh", "init=/bin/bash"}, Root: fleet.RootTmpfs, Reseed: fleet.ReseedRollout, SystemOverlays: []string{"hosts"}}}))
	e, err := rig.local(t).Explain(t.Context(), "odd")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"kernel_version is 6.1", "overlays are kept", "root tmpfs", "init is /bin/init, and the kernel argument init=/bin/bash says otherwise", "must show the asset key", "reseed until-rollout-done is as good as always"} {
		if !slices.ContainsFunc(e.Notes, func(n string) bool { return strings.Contains(n, word) }) {
			t.Errorf("no note says %q: %q", word, e.Notes)
		}
	}
}
