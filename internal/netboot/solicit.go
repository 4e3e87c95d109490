package netboot

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// iPXE configures IPv6 beside DHCP, and goes on only when both are done: where no router answers, it solicits for
// 16 seconds, its lease in hand. An advertisement of a router that routes nothing ends that wait. It is sent to
// nobody else: a system that runs must not hear of IPv6 from us.
const (
	solicitWindow  = 30 * time.Second // after a DHCP answer to iPXE; it solicits from its first DHCP request on
	solicitAnswers = 8                // per DHCP answer; iPXE solicits six times before it gives up
)

// Numbers of neighbour discovery (RFC 4861, 4.1, 4.2, 4.6.1, 6.1.1).
const (
	typeSolicitation    = 133
	typeAdvertisement   = 134
	optionSourceAddress = 1
	discoveryHopLimit   = 255 // the highest: what has it comes from the link itself
	solicitationHeader  = 8   // bytes before the options
	optionUnit          = 8   // bytes that an option's length counts
)

// parseSolicitation returns the MAC of the machine that sent the Router Solicitation b. It takes what iPXE sends and
// little more: the MAC must be in the source link-layer address option and in the link-local source address both.
// Systems that make up their addresses (RFC 7217, RFC 8981) are refused by that.
func parseSolicitation(source netip.Addr, hopLimit int, b []byte) (fleet.MAC, error) {
	switch {
	case hopLimit != discoveryHopLimit:
		return fleet.MAC{}, fmt.Errorf("router solicitation with hop limit %d: not from this link", hopLimit)
	case len(b) < solicitationHeader || b[0] != typeSolicitation || b[1] != 0:
		return fleet.MAC{}, errors.New("no router solicitation")
	}
	var mac fleet.MAC
	for options := b[solicitationHeader:]; len(options) > 0; {
		if len(options) < optionUnit || options[1] == 0 || len(options) < int(options[1])*optionUnit {
			return fleet.MAC{}, errors.New("router solicitation with a broken option")
		}
		size := int(options[1]) * optionUnit
		if options[0] == optionSourceAddress && size == 2+len(mac) {
			mac = fleet.MAC(options[2:size])
		}
		options = options[size:]
	}
	if mac == (fleet.MAC{}) || source.WithZone("") != linkLocal(mac) {
		return fleet.MAC{}, fmt.Errorf("router solicitation from %s, which is not made of its link-layer address", source)
	}
	return mac, nil
}

// linkLocal returns the link-local address that is made of a MAC (RFC 4291, appendix A).
func linkLocal(m fleet.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// advertisement returns a Router Advertisement (RFC 4861, 4.2) of lifetime 0, that is, of no default router, without
// flags, prefixes and other options: it configures nothing. The kernel fills in the checksum.
func advertisement() []byte { return append([]byte{typeAdvertisement}, make([]byte, 15)...) }

// A vigil is how long the solicitations of a machine are answered. Its zero value answers none.
type vigil struct {
	link  int // index of the interface by which the machine asked for its address
	until time.Time
	left  int
}

// keepVigil answers the solicitations of m that come in by that interface, for a while.
func keepVigil(link int, now time.Time) vigil {
	return vigil{link: link, until: now.Add(solicitWindow), left: solicitAnswers}
}

// solicited reports whether a solicitation of m, which came in by that interface, is to be answered, and counts it if
// so: an iPXE there was just answered by DHCP and has no script yet.
func (b *boots) solicited(m fleet.MAC, link int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	cur, ok := b.byMAC[m]
	if !ok || cur.reached >= fleet.PhaseScript.Order() || cur.vigil.link != link || cur.vigil.left == 0 || !b.now().Before(cur.vigil.until) {
		return false
	}
	cur.vigil.left--
	return true
}

// advertises decides on a solicitation: that of a node, where DHCP is not off, while it boots.
func (s *Server) advertises(m fleet.MAC, link int) bool {
	_, _, network, err := s.cfg.State().Reservation(m)
	return err == nil && network.DHCP != fleet.DHCPOff && s.boots.solicited(m, link)
}
