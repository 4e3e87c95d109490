package netboot

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
)

func TestClaimsAreDue(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		place int
		asked []time.Duration
		due   []bool
	}{
		"the first at once":                        {0, []time.Duration{0}, []bool{true}},
		"the first once a second":                  {0, []time.Duration{0, 900 * ms, 1000 * ms, 1100 * ms}, []bool{true, false, true, false}},
		"the second when the machine asks again":   {1, []time.Duration{0, 100 * ms, 500 * ms}, []bool{false, false, true}},
		"the third later":                          {2, []time.Duration{0, 999 * ms, 1000 * ms}, []bool{false, false, true}},
		"the second, after the machine was silent": {1, []time.Duration{0, 500 * ms, 31 * time.Second}, []bool{false, true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			claims, begin := newClaims(), time.Unix(0, 0)
			for i, at := range c.asked {
				if got := claims.due(alienMAC, c.place, begin.Add(at)); got != c.due[i] {
					t.Errorf("asked after %s: due %t, want %t", at, got, c.due[i])
				}
			}
		})
	}
}

func TestClaimsAreBounded(t *testing.T) {
	c, now := newClaims(), time.Unix(0, 0)
	for i := range maxClaims + 10 {
		m := fleet.MAC{0x52, 0, 0, 0, byte(i >> 8), byte(i)}
		if got := c.due(m, 0, now); got != (i < maxClaims) {
			t.Fatalf("machine %d: due %t", i, got)
		}
	}
	if !c.due(alienMAC, 0, now.Add(claimForget)) || len(c.machines) != 1 {
		t.Errorf("%d machines are remembered, want those that are silent to make room", len(c.machines))
	}
}

// armed returns the state with a node that waits for a machine on network boot, for a minute from at.
func armed(t *testing.T, s fleet.State, at time.Time) fleet.State {
	t.Helper()
	for _, c := range []fleet.Command{
		fleet.SetFormat{Format: fleet.Format},
		fleet.AddNodes{Nodes: []fleet.Node{{Name: "new1", Settings: fleet.Settings{Interfaces: []fleet.Interface{{Name: "default", IP: netip.MustParseAddr("10.1.0.77")}}}}}},
		fleet.ArmDiscovery{Names: []string{"new1"}, Until: at.Add(time.Minute)},
	} {
		var err error
		if s, err = s.Apply(fleet.Entry{Command: c, At: at}, s.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestUnknownMachineClaimsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 3)
		state := armed(t, c.members[0].cfg.State(), time.Now())
		var claimed []string
		for i, s := range c.members {
			s.cfg.State = func() fleet.State { return state }
			s.cfg.Claim = func(m fleet.MAC, network string) {
				claimed = append(claimed, strings.Join([]string{m.String(), network, s.cfg.Self.ID}, " "))
				next, err := state.Apply(fleet.Entry{Command: fleet.ClaimNode{MAC: m, Network: network}, At: time.Now()}, state.Revision()+1)
				if err != nil {
					t.Errorf("member %d: %v", i, err)
				}
				state = next
			}
		}
		ask := func() {
			d := request(dhcpv4.MessageTypeDiscover, alienMAC, 0)
			d.GatewayIPAddr = netip.MustParseAddr("10.1.3.254").AsSlice()
			c.hear(d, 0, 1, 2)
		}
		ask()
		if len(claimed) != 1 {
			t.Errorf("claimed %q at once, want one claim", claimed)
		}
		time.Sleep(time.Second)
		ask()
		time.Sleep(time.Second)
		if len(claimed) != 1 || !strings.HasPrefix(claimed[0], alienMAC.String()+" boot c") {
			t.Errorf("claimed %q, want one claim on network boot", claimed)
		}
		synctest.Wait()
		first := fleet.Order(alienMAC, c.live)[0].ID
		if len(claimed) == 1 && !strings.HasSuffix(claimed[0], first) {
			t.Errorf("claimed %q, want it by %s", claimed, first)
		}
		if len(c.sent) == 0 || !strings.Contains(c.sent[0], "OFFER") {
			t.Errorf("sent %q, want an offer to the machine that is now a node", c.sent)
		}
	})
}

func TestStandInClaimsForADeadController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, 2)
		state := armed(t, c.members[0].cfg.State(), time.Now())
		second := fleet.Order(alienMAC, c.live)[1].ID
		for i, s := range c.members {
			claims := 0
			s.cfg.State = func() fleet.State { return state }
			s.cfg.Claim = func(fleet.MAC, string) { claims++ }
			if s.cfg.Self.ID != second {
				continue
			}
			for _, want := range []int{0, 1} {
				d := request(dhcpv4.MessageTypeDiscover, alienMAC, 0)
				d.GatewayIPAddr = netip.MustParseAddr("10.1.3.254").AsSlice()
				c.hear(d, i)
				if claims != want {
					t.Errorf("%d claims, want %d", claims, want)
				}
				time.Sleep(time.Second)
			}
		}
	})
}

func TestOnlyMachinesThatBootClaim(t *testing.T) {
	c := testConfig(t, newWitness())
	state := armed(t, c.State(), time.Now())
	c.State = func() fleet.State { return state }
	c.Claim = func(m fleet.MAC, _ string) { t.Errorf("%s claimed a node", m) }
	s := open(t, c)
	d := &datagram{arrival: arrival{listener: s.dhcp, from: netip.MustParseAddrPort("10.1.3.254:67")}}
	p := relayed(dhcpv4.MessageTypeDiscover, alienMAC, 0)
	p.GatewayIPAddr = netip.MustParseAddr("10.1.3.254").AsSlice()
	p.Options.Del(dhcpv4.OptionClassIdentifier)
	d.n = copy(d.bytes[:], p.ToBytes())
	s.handle(d)
	if got := s.Counters().Unknown; got != 1 {
		t.Errorf("%d unknown machines, want 1", got)
	}
}

func TestScriptOfAMachineThatIsBeingDiscovered(t *testing.T) {
	c := testConfig(t, newWitness())
	state := armed(t, c.State(), time.Now())
	c.State = func() fleet.State { return state }
	var claimed []string
	c.Claim = func(m fleet.MAC, network string) { claimed = append(claimed, m.String()+" "+network) }
	s := open(t, c)
	for range 2 {
		script, id, _ := s.script(alienMAC, netip.MustParseAddr("10.1.3.50"), nil)
		if !strings.Contains(string(script), "a node is being chosen for it") || id != "" {
			t.Errorf("got boot %q and\n%s", id, script)
		}
	}
	if script, _, _ := s.script(alienMAC, netip.MustParseAddr("10.2.0.50"), nil); !strings.Contains(string(script), "is the MAC address of no node") {
		t.Errorf("on a network where no node waits:\n%s", script)
	}
	if len(claimed) != 1 || claimed[0] != alienMAC.String()+" boot" {
		t.Errorf("claimed %q", claimed)
	}
}
