package fleet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAControllerJoinsOnce(t *testing.T) {
	s := start2(t)
	s, err := s.Apply(Entry{Command: AddJoinToken{testToken("t1")}, At: noon}, 100)
	if err != nil {
		t.Fatal(err)
	}
	join := JoinController{Token: "t1", Proof: testToken("t1").Hash, Controller: testController("head4", 4)}
	s, err = s.Apply(Entry{Command: join, At: noon}, 101)
	if err != nil {
		t.Fatal(err)
	}
	cluster, _ := s.Cluster()
	if ctl, ok := cluster.Controller("head4"); !ok || ctl != join.Controller || len(cluster.Controllers) != 4 || cluster.Revision != 101 {
		t.Errorf("cluster %+v, want head4 as its fourth controller at revision 101", cluster)
	}
	if token, _ := s.JoinToken("t1"); token.Spent != "head4" || token.SpentKey != join.Controller.Key {
		t.Errorf("token %+v, want it spent by head4", token)
	}

	// An answer that got lost is asked for again, be it a day later.
	once := s.Hash()
	s, err = s.Apply(Entry{Command: join, At: noon.Add(25 * time.Hour)}, 102)
	if err != nil || s.Advance(101).Hash() != once {
		t.Errorf("asked again: %v, want it accepted and nothing changed", err)
	}
	moved := join
	moved.Controller.Address = ip("10.1.0.5")
	if _, err := s.Apply(Entry{Command: moved, At: noon}, 103); !errors.Is(err, ErrJoin) || !strings.Contains(err.Error(), "samara controller remove head4") {
		t.Errorf("asked again from another address: %v, want ErrJoin and the cure", err)
	}

	// Once removed it needs another token.
	s, err = s.Apply(Entry{Command: RemoveController{"head4"}, At: noon}, 103)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(Entry{Command: join, At: noon}, 104); !errors.Is(err, ErrJoin) || !strings.Contains(err.Error(), "removed") {
		t.Errorf("after it was removed: %v, want ErrJoin", err)
	}
}

func TestJoinsThatAreRefused(t *testing.T) {
	join := func(edit func(*JoinController)) JoinController {
		c := JoinController{Token: "t1", Proof: testToken("t1").Hash, Controller: testController("head4", 4)}
		edit(&c)
		return c
	}
	late := noon.Add(time.Hour)
	for what, c := range map[string]struct {
		do   JoinController
		at   time.Time
		want error
		text string
	}{
		"an unknown token":          {join(func(c *JoinController) { c.Token = "t9" }), noon, ErrJoin, "samara controller token"},
		"a wrong secret":            {join(func(c *JoinController) { c.Proof[31]++ }), noon, ErrJoin, "samara controller token"},
		"an expired token":          {join(func(c *JoinController) {}), late, ErrJoin, "expired at 2026-11-23T13:00:00Z"},
		"a token of another":        {join(func(c *JoinController) { c.Token, c.Proof = "head2", testToken("head2").Hash }), noon, ErrJoin, "controller head2 has used"},
		"a used name, another key":  {join(func(c *JoinController) { c.Token, c.Proof, c.Controller.ID = "head2", testToken("head2").Hash, "head2" }), noon, ErrJoin, "has used"},
		"a name in use":             {join(func(c *JoinController) { c.Controller.ID = "head2" }), noon, ErrExists, "at 10.1.0.2"},
		"an address in use":         {join(func(c *JoinController) { c.Controller.Address = ip("10.1.0.2") }), noon, ErrExists, "controller head2 has it"},
		"a key in use":              {join(func(c *JoinController) { c.Controller.Key = Digest{2} }), noon, ErrExists, "controller head2 has it"},
		"a node's address":          {join(func(c *JoinController) { c.Controller.Address = ip("10.1.0.11") }), noon, ErrExists, "node n1 has it"},
		"an address of the pool":    {join(func(c *JoinController) { c.Controller.Address = ip("10.1.0.210") }), noon, ErrInvalid, "discovery pool"},
		"the broadcast address":     {join(func(c *JoinController) { c.Controller.Address = ip("10.1.0.255") }), noon, ErrInvalid, "broadcast"},
		"IPv6":                      {join(func(c *JoinController) { c.Controller.Address = ip("fe80::1") }), noon, ErrInvalid, "IPv4"},
		"a name that is not one":    {join(func(c *JoinController) { c.Controller.ID = "Head 4" }), noon, ErrInvalid, "controller name"},
		"no key":                    {join(func(c *JoinController) { c.Controller.Key = Digest{} }), noon, ErrInvalid, "without a key"},
		"no port":                   {join(func(c *JoinController) { c.Controller.Ports.Swarm = 0 }), noon, ErrInvalid, "swarm port 0"},
		"an address of every host":  {join(func(c *JoinController) { c.Controller.Address = netip.IPv4Unspecified() }), noon, ErrInvalid, "want the IPv4 address"},
		"nothing but a known token": {JoinController{Token: "t1"}, noon, ErrJoin, "wrong"},
	} {
		t.Run(what, func(t *testing.T) {
			before, err := start2(t).Apply(Entry{Command: AddJoinToken{testToken("t1")}, At: noon}, 100)
			if err != nil {
				t.Fatal(err)
			}
			after, err := before.Apply(Entry{Command: c.do, At: c.at}, 101)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q and the text %q", err, c.want, c.text)
			}
			if after.Advance(100).Hash() != before.Hash() {
				t.Error("a refused join changed the state")
			}
		})
	}
}

func TestAControllerMayBeAGateway(t *testing.T) {
	s, err := start2(t).Apply(Entry{Command: AddJoinToken{testToken("t1")}, At: noon}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(Entry{Command: JoinController{Token: "t1", Proof: testToken("t1").Hash, Controller: testController("head4", 254)}, At: noon}, 101); err != nil {
		t.Error(err)
	}
}

func TestControllersAreBounded(t *testing.T) {
	s := start2(t)
	var err error
	for i := 4; ; i++ {
		id := fmt.Sprintf("head%d", i)
		token := JoinToken{ID: id, Hash: Digest{byte(i)}, Expires: noon.Add(time.Hour)}
		if s, err = s.Apply(Entry{Command: AddJoinToken{token}, At: noon}, s.Revision()+1); err != nil {
			t.Fatal(err)
		}
		s, err = s.Apply(Entry{Command: JoinController{Token: id, Proof: token.Hash, Controller: testController(id, byte(i+20))}, At: noon}, s.Revision()+1)
		if err != nil {
			break
		}
	}
	cluster, _ := s.Cluster()
	if !errors.Is(err, ErrInvalid) || len(cluster.Controllers) != MaxControllers {
		t.Errorf("%d controllers, then %v; want %d, then ErrInvalid", len(cluster.Controllers), err, MaxControllers)
	}
}

func TestTheLastControllerStays(t *testing.T) {
	s := start2(t)
	var err error
	for _, id := range []string{"head1", "head3"} {
		if s, err = s.Apply(Entry{Command: RemoveController{id}}, s.Revision()+1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Apply(Entry{Command: RemoveController{"head2"}}, s.Revision()+1); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "last") {
		t.Errorf("the last one: %v, want ErrInvalid", err)
	}
	if _, err := s.Apply(Entry{Command: RemoveController{"head1"}}, s.Revision()+1); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that is gone: %v, want ErrNotFound", err)
	}
}

func TestJoinTokens(t *testing.T) {
	s := start2(t)
	for what, c := range map[string]struct {
		token JoinToken
		want  error
	}{
		"one that exists":         {testToken("head2"), ErrExists},
		"one that is over":        {JoinToken{ID: "t1", Hash: Digest{1}, Expires: noon}, ErrInvalid},
		"one for ever":            {JoinToken{ID: "t1", Hash: Digest{1}, Expires: noon.AddDate(1000, 0, 0)}, ErrInvalid},
		"one without a hash":      {JoinToken{ID: "t1", Expires: noon.Add(time.Hour)}, ErrInvalid},
		"one that is spent":       {JoinToken{ID: "t1", Hash: Digest{1}, Expires: noon.Add(time.Hour), Spent: "head1"}, ErrInvalid},
		"one with an odd name":    {JoinToken{ID: "t 1", Hash: Digest{1}, Expires: noon.Add(time.Hour)}, ErrInvalid},
		"one without a name":      {JoinToken{Hash: Digest{1}, Expires: noon.Add(time.Hour)}, ErrInvalid},
		"one with an endless one": {JoinToken{ID: strings.Repeat("t", MaxID+1), Hash: Digest{1}, Expires: noon.Add(time.Hour)}, ErrInvalid},
	} {
		if _, err := s.Apply(Entry{Command: AddJoinToken{c.token}, At: noon}, s.Revision()+1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	add := func(i int, at time.Time) (err error) {
		token := JoinToken{ID: fmt.Sprintf("t%d", i), Hash: Digest{1}, Expires: at.Add(time.Hour)}
		s, err = s.Apply(Entry{Command: AddJoinToken{token}, At: at}, s.Revision()+1)
		return err
	}
	for i := range MaxJoinTokens { // the two spent ones make room
		if err := add(i, noon); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.JoinToken("head2"); ok || s.tokens.len() != MaxJoinTokens {
		t.Errorf("%d tokens, a spent one among them: %v", s.tokens.len(), ok)
	}
	if err := add(1000, noon); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "at most 64") {
		t.Errorf("too many: %v, want ErrInvalid", err)
	}
	if err := add(1001, noon.Add(24*time.Hour+30*time.Minute)); !errors.Is(err, ErrInvalid) {
		t.Errorf("within a day of their end: %v, want ErrInvalid", err)
	}
	if err := add(1002, noon.Add(26*time.Hour)); err != nil || s.tokens.len() != 1 {
		t.Errorf("a day after their end: %v and %d tokens, want the new one alone", err, s.tokens.len())
	}
}

func TestARecoveredClusterHasTheControllersThatAreLeft(t *testing.T) {
	for what, s := range map[string]State{"of format 1": start(t), "of format 2": start2(t)} {
		alone := []Controller{{ID: "head9", Address: ip("10.1.0.9"), Ports: DefaultPorts}}
		next, err := s.Apply(Entry{Command: &ReplaceControllers{alone}}, 100)
		if err != nil {
			t.Fatalf("a cluster %s: %v", what, err)
		}
		cluster, _ := next.Cluster()
		if len(cluster.Controllers) != 1 || cluster.Controllers[0] != alone[0] || next.Format() != 2 || next.tokens.len() != 0 {
			t.Errorf("a cluster %s: format %d, %+v and %d tokens", what, next.Format(), cluster.Controllers, next.tokens.len())
		}
	}
	for what, c := range map[string]ReplaceControllers{
		"nobody":           {},
		"one twice":        {[]Controller{testController("a", 9), testController("a", 8)}},
		"a node's address": {[]Controller{testController("a", 11)}},
		"no address":       {[]Controller{{ID: "a", Ports: DefaultPorts}}},
	} {
		if _, err := start2(t).Apply(Entry{Command: c}, 100); !IsRefusal(err) {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
}

func TestTheCAKeyIsSealed(t *testing.T) {
	s, err := start2(t).Apply(Entry{Command: SealCAKey{Secret("sealed")}}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := s.Cluster(); string(c.CAKey) != "sealed" || c.Revision != 100 {
		t.Error("the sealed key is not in the place of the plain one")
	}
	for _, sealed := range []Secret{nil, make(Secret, MaxCAKey+1)} {
		if _, err := s.Apply(Entry{Command: SealCAKey{sealed}}, 101); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d bytes: %v, want ErrInvalid", len(sealed), err)
		}
	}
}

func TestPublicationNeedsAMajority(t *testing.T) {
	for what, c := range map[string]struct {
		holders []string
		want    error
	}{
		"nobody":                 {nil, ErrInvalid},
		"one of three":           {[]string{"head1"}, ErrInvalid},
		"one of three, twice":    {[]string{"head1", "head1"}, ErrInvalid},
		"one and a stranger":     {[]string{"head1", "head9"}, ErrInvalid},
		"two of three":           {[]string{"head3", "head1"}, nil},
		"all three":              {[]string{"head1", "head2", "head3"}, nil},
		"more than there can be": {make([]string, MaxHolders+1), ErrInvalid},
	} {
		t.Run(what, func(t *testing.T) {
			s := start2(t)
			for _, do := range []Command{
				AddImageVersion{Image: "debian", Version: testVersion(), Holders: c.holders},
				SetInitramfs{Image: "debian", Version: 1, Initramfs: blob(9), Holders: c.holders},
			} {
				_, err := s.Apply(Entry{Command: do}, 100)
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("%s: %v, want %v", do.Kind(), err, c.want)
				}
			}
		})
	}
	_, err := start2(t).Apply(Entry{Command: AddImageVersion{Image: "debian", Version: testVersion(), Holders: []string{"head2"}}}, 100)
	if want := "1 of 3 controllers hold its blobs, 2 must; samara controller list"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want the text %q", err, want)
	}
}
