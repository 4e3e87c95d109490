package netboot

import (
	"net/netip"
	"sync"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/netboot/dhcp"
)

// maxBoots bounds how many machines' boots are followed at a time; staleBoot is how long a boot may rest in a phase
// that it does not come out of before the next request is taken for another boot.
const (
	maxBoots  = 65536
	staleBoot = 10 * time.Minute
)

// boots follows each machine from its first request to its initramfs, so that each phase is observed once per boot
// and under the boot's id. Its methods may be called from any goroutine.
type boots struct {
	observer Observer
	now      func() time.Time

	mu    sync.Mutex
	byMAC map[fleet.MAC]*boot
	byIP  map[netip.Addr]fleet.MAC // where a script was asked from
}

type boot struct {
	id      string
	reached int // the order of the last phase
	at      time.Time
	ip      netip.Addr
	vigil   vigil
}

func newBoots(o Observer, now func() time.Time) *boots {
	return &boots{observer: o, now: now, byMAC: map[fleet.MAC]*boot{}, byIP: map[netip.Addr]fleet.MAC{}}
}

// dhcp notes an answer to a client. Firmware that asks again after it got further has restarted; so has an iPXE that
// asks after it got its script. An iPXE that was just loaded goes on with the boot of its firmware; what it solicits by
// the interface with the index link is answered from now on, and no longer once another program asks.
func (b *boots) dhcp(c dhcp.Client, link int) {
	b.mu.Lock()
	now := b.now()
	cur, ok := b.byMAC[c.MAC]
	if ok {
		cur.vigil = vigil{}
	}
	if !c.Boots() {
		b.mu.Unlock()
		return
	}
	going := ok && now.Sub(cur.at) < staleBoot
	if c.Kind == dhcp.IPXE {
		going = going && cur.reached < fleet.PhaseScript.Order()
	} else {
		going = going && cur.reached == fleet.PhaseDHCP.Order()
	}
	if !going {
		cur = &boot{reached: fleet.PhaseDHCP.Order(), at: now}
		b.start(c.MAC, cur)
	}
	if c.Kind == dhcp.IPXE {
		cur.vigil = keepVigil(link, now)
	}
	b.mu.Unlock()
	if !going {
		b.observer.Phase(c.MAC, "", fleet.PhaseDHCP, c.Firmware())
	}
}

// script notes that a script was minted for the machine at ip: a boot with an id begins, which continues what the
// firmware did before it.
func (b *boots) script(m fleet.MAC, id string, ip netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start(m, &boot{id: id, reached: fleet.PhaseScript.Order() - 1, at: b.now(), ip: ip})
	b.byIP[ip] = m
}

// start makes fresh the boot of m, under the lock.
func (b *boots) start(m fleet.MAC, fresh *boot) {
	if old, ok := b.byMAC[m]; ok {
		b.forget(m, old)
	} else if len(b.byMAC) >= maxBoots {
		b.makeRoom(fresh.at)
	}
	b.byMAC[m] = fresh
}

func (b *boots) forget(m fleet.MAC, old *boot) {
	delete(b.byMAC, m)
	if b.byIP[old.ip] == m {
		delete(b.byIP, old.ip)
	}
}

// makeRoom forgets boots that rest, or any one if none does.
func (b *boots) makeRoom(now time.Time) {
	for m, old := range b.byMAC {
		if now.Sub(old.at) >= staleBoot {
			b.forget(m, old)
		}
	}
	for m, old := range b.byMAC {
		if len(b.byMAC) < maxBoots {
			return
		}
		b.forget(m, old)
	}
}

// sent notes that what p stands for was sent completely to m. A phase is observed once in a boot, and later ones
// count for it too: a kernel fetched again after the initramfs is no news.
func (b *boots) sent(m fleet.MAC, p fleet.Phase, detail string) {
	b.mu.Lock()
	cur, ok := b.byMAC[m]
	if !ok {
		cur = &boot{reached: -1}
		b.start(m, cur)
	}
	if cur.reached >= p.Order() {
		b.mu.Unlock()
		return
	}
	cur.reached, cur.at = p.Order(), b.now()
	id := cur.id
	b.mu.Unlock()
	b.observer.Phase(m, id, p, detail)
}

// at returns the machine at ip: the node that has the address, else the machine that last asked for a script from it.
func (b *boots) at(s fleet.State, ip netip.Addr) (fleet.MAC, bool) {
	if n, ok := s.NodeByIP(ip); ok {
		for _, i := range n.Interfaces {
			if i.IP == ip && i.MAC != (fleet.MAC{}) {
				return i.MAC, true
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.byIP[ip]
	return m, ok
}
