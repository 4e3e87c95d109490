package seeder

import (
	"net/netip"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds of what callers may have at once, whoever they are. A node has one connection for its image, calls once every two
// seconds if it is refused, and several times at once at most when its agent has just started.
const (
	maxHalfOpen        = 1024 // calls whose handshake has not come
	maxHalfOpenOfOne   = 4    // of these, those of one address
	maxLinks           = 4096 // connections for all torrents together
	maxLinksOfOne      = 16   // of these, those of one address
	maxCallsPerSecond  = 10   // of one address
	floodPause         = 10 * time.Second
	maxForeign         = 3     // calls of one address in a row that begin as no handshake does
	maxCallers         = 16384 // addresses that are remembered
	callerForgottenAge = floodPause
)

// A door lets callers in, up to bounds: no address can keep others out. Its methods may be called from any goroutine.
type door struct {
	allow func(netip.Addr) bool             // nil: anybody
	fault func(netip.Addr, fleet.PeerFault) // is told what is wrong with a caller
	mu    sync.Mutex
	open  map[netip.Addr]*caller
	half  int // calls whose handshake has not come
	links int // calls whose handshake has come
}

// A caller is what a door knows of an address.
type caller struct {
	half, links int
	second      time.Time // in which calls are counted
	calls       int
	refused     time.Time // until when nothing is answered
	foreign     int       // calls that began as no handshake does, since one that did
}

func newDoor(allow func(netip.Addr) bool, fault func(netip.Addr, fleet.PeerFault)) *door {
	return &door{allow: allow, fault: fault, open: map[netip.Addr]*caller{}}
}

// A pass is a caller's way in. Whoever has one calls leave once.
type pass struct {
	door   *door
	addr   netip.Addr
	inside bool
}

// knock returns a pass for a call from addr, or nil if it is not answered.
func (d *door) knock(addr netip.Addr, now time.Time) *pass {
	if d.allow != nil && !d.allow(addr) {
		d.fault(addr, fleet.FaultStranger)
		return nil
	}
	p, flood := d.admit(addr, now)
	if flood {
		d.fault(addr, fleet.FaultFlood)
	}
	return p
}

func (d *door) admit(addr netip.Addr, now time.Time) (p *pass, flood bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.caller(addr, now)
	if c == nil || now.Before(c.refused) {
		return nil, false
	}
	if now.Sub(c.second) >= time.Second {
		c.second, c.calls = now, 0
	}
	if c.calls++; c.calls > maxCallsPerSecond {
		c.refused = now.Add(floodPause)
		return nil, true
	}
	if d.half >= maxHalfOpen || c.half >= maxHalfOpenOfOne {
		return nil, false
	}
	d.half++
	c.half++
	return &pass{door: d, addr: addr}, false
}

// caller returns what is known of an address, or nil if too many others are remembered. The caller holds d.mu.
func (d *door) caller(addr netip.Addr, now time.Time) *caller {
	c := d.open[addr]
	if c != nil {
		return c
	}
	if len(d.open) >= maxCallers {
		for a, old := range d.open {
			if old.half == 0 && old.links == 0 && now.Sub(old.second) > callerForgottenAge && now.After(old.refused) {
				delete(d.open, a)
			}
		}
	}
	if len(d.open) >= maxCallers {
		return nil
	}
	c = &caller{second: now}
	d.open[addr] = c
	return c
}

// enter turns a call into a connection, since its handshake has come. It reports whether there is room for one more. It
// may be called again.
func (p *pass) enter() bool {
	if p.inside {
		return true
	}
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	c := p.door.open[p.addr]
	if p.door.links >= maxLinks || c.links >= maxLinksOfOne {
		return false
	}
	p.door.half--
	c.half--
	p.door.links++
	c.links++
	c.foreign = 0
	p.inside = true
	return true
}

// speaksOther takes note of a call that begins as no handshake does, and reports whether that is a fault by now. A client
// that tries an obfuscated handshake first, which looks like noise, calls again in the clear: it has done nothing wrong.
func (p *pass) speaksOther() bool {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	c := p.door.open[p.addr]
	c.foreign++
	return c.foreign >= maxForeign
}

// leave ends the call or connection.
func (p *pass) leave() {
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	c := p.door.open[p.addr]
	if p.inside {
		p.door.links--
		c.links--
	} else {
		p.door.half--
		c.half--
	}
}
