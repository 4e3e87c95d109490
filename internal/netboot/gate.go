package netboot

import (
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds of a gate. A boot takes about eight requests, firmware, iPXE and agent together, and several in its first
// second; a client that hears nothing asks again after one second at the earliest.
const (
	gateBurst     = 16  // requests of one machine at once
	gateRate      = 4.0 // requests of one machine per second, in the long run
	gateDuplicate = time.Second
	gateSize      = 65536                  // machines
	gateAgain     = 200 * time.Millisecond // between two tries of a client: iPXE's first are 250 ms apart
	gateForget    = time.Minute            // between two exchanges of a client that uses one transaction id twice
)

// A gate holds back what a machine should not be answered: copies of a request that was answered, and more requests
// than any boot needs. Its methods may be called from any goroutine.
type gate struct {
	mu       sync.Mutex
	machines map[fleet.MAC]*passage
}

type passage struct {
	tokens   float64
	at       time.Time // when tokens was right
	answered imprint
	then     time.Time // when it was answered
	left     imprint   // a request that was left to the controller it named
	since    time.Time // when it came first
}

// An imprint tells a copy of a request from another try: each try of a client counts more seconds, or comes after
// gateDuplicate. Two relay agents that pass on one request are both answered.
type imprint struct {
	xid    dhcpv4.TransactionID
	kind   dhcpv4.MessageType
	secs   uint16
	ciaddr [4]byte
	giaddr [4]byte
	proxy  bool
}

func imprintOf(req *dhcpv4.DHCPv4, proxy bool) imprint {
	i := imprint{xid: req.TransactionID, kind: req.MessageType(), secs: req.NumSeconds, proxy: proxy}
	copy(i.ciaddr[:], req.ClientIPAddr.To4())
	copy(i.giaddr[:], req.GatewayIPAddr.To4())
	return i
}

type admission int

const (
	admitted admission = iota
	duplicate
	tooMany
)

func newGate() *gate { return &gate{machines: map[fleet.MAC]*passage{}} }

// admit decides on a request of m. Nodes pass even while the gate is full of machines that are none.
func (g *gate) admit(m fleet.MAC, i imprint, isNode bool, now time.Time) admission {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, ok := g.machines[m]
	if !ok {
		if len(g.machines) >= gateSize && !g.sweep(now) {
			if isNode {
				return admitted
			}
			return tooMany
		}
		p = &passage{tokens: gateBurst, at: now}
		g.machines[m] = p
	}
	if p.answered == i && now.Sub(p.then) < gateDuplicate {
		return duplicate
	}
	p.tokens = min(gateBurst, p.tokens+now.Sub(p.at).Seconds()*gateRate)
	p.at = now
	if p.tokens < 1 {
		return tooMany
	}
	p.tokens--
	return admitted
}

// answer records that a request of m was answered.
func (g *gate) answer(m fleet.MAC, i imprint, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p, ok := g.machines[m]; ok {
		p.answered, p.then = i, now
	}
}

// again reports whether m sent that request, but for its seconds, before: at least gateAgain ago, so that it is no copy.
func (g *gate) again(m fleet.MAC, i imprint, now time.Time) bool {
	i.secs = 0
	g.mu.Lock()
	defer g.mu.Unlock()
	p, ok := g.machines[m]
	if !ok {
		return false
	}
	if p.left != i || now.Sub(p.since) > gateForget {
		p.left, p.since = i, now
	}
	return now.Sub(p.since) >= gateAgain
}

// sweep forgets the machines that would start afresh anyway, and reports whether that made room.
func (g *gate) sweep(now time.Time) bool {
	for m, p := range g.machines {
		if now.Sub(p.at).Seconds()*gateRate >= gateBurst {
			delete(g.machines, m)
		}
	}
	return len(g.machines) < gateSize
}

// A hush lets each message through once a minute, so that a machine that asks for ever does not fill the log. Its
// zero value is ready; its methods may be called from any goroutine.
type hush struct {
	mu   sync.Mutex
	said map[string]time.Time
}

const (
	hushFor  = time.Minute
	hushSize = 4096
)

// says reports whether message is due.
func (h *hush) says(message string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if then, ok := h.said[message]; ok && now.Sub(then) < hushFor {
		return false
	}
	if len(h.said) >= hushSize || h.said == nil {
		h.said = map[string]time.Time{}
	}
	h.said[message] = now
	return true
}
