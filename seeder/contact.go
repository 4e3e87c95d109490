package seeder

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/anacrolix/torrent"
	peerproto "github.com/anacrolix/torrent/peer_protocol"

	"github.com/samara-hpc/samara/fleet"
)

// Bounds of what one peer may do.
const (
	// maxContactsOfOne bounds the connections of one address to one torrent. A node needs one.
	maxContactsOfOne = 4
	// maxChatter bounds the messages of a peer that move no block, beside one for each piece: at first, and for each second.
	maxChatter, chatterPerSecond = 1000, 100
)

// How the names of our programs begin: of clients, and of servers. All others are asked by way of a splitter.
const (
	clientID = "-GT0003-"
	serverID = "-SM0100-"
)

func isOurs(id peerID) bool {
	name := string(id[:])
	return strings.HasPrefix(name, clientID) || strings.HasPrefix(name, serverID)
}

// A contact is what a download knows of a connected peer.
type contact struct {
	addr    netip.AddrPort // where it listens, as far as is known
	met     time.Time
	asked   int       // requests to it that are not settled
	moved   time.Time // when it last sent a block, or was asked while it owed none
	mark    int       // blocks that the download had from everybody by then
	choked  bool      // it has said that it answers nothing
	wanted  time.Time // when it last asked for a block
	chatter int       // messages that moved no block
	gave    time.Time // when it last sent a block, or was met
	refused int       // requests that it, a client of ours, has rejected since then, while it said that it answers them
}

// events has the library tell c what happens. All of it is called under the library's lock: none of it may call the
// library, except in a goroutine.
func (c *Client) events(l *torrent.ClientConfig) {
	l.Callbacks.PeerConnAdded = []func(*torrent.PeerConn){c.connected}
	l.Callbacks.ReadExtendedHandshake = c.introduced
	l.Callbacks.ReadMessage = c.said
	l.Callbacks.SentRequest = []func(torrent.PeerRequestEvent){func(e torrent.PeerRequestEvent) { c.asked(e, 1) }}
	l.Callbacks.DeletedRequest = []func(torrent.PeerRequestEvent){func(e torrent.PeerRequestEvent) { c.asked(e, -1) }}
	l.Callbacks.ReceivedUsefulData = []func(torrent.ReceivedUsefulDataEvent){c.received}
	l.Callbacks.PeerConnClosed = c.disconnected
	l.Callbacks.StatusUpdated = []func(torrent.StatusUpdatedEvent){c.ended}
}

// downloadOf returns the download that a peer's connection belongs to, or nil.
func (c *Client) downloadOf(p *torrent.Peer) *Download {
	t := p.Torrent()
	if t == nil {
		return nil
	}
	h := Hash(t.InfoHash())
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.torrents[h]; e != nil {
		return e.download
	}
	return nil
}

// connected learns of a peer. It speaks no extension with it: of those that the library knows, one has it call whomever a
// peer names, and the other hands out metainfo that comes from controllers alone.
func (c *Client) connected(p *torrent.PeerConn) {
	p.LocalLtepProtocolMap = &torrent.LocalLtepProtocolMap{}
	if !isOurs(peerID(p.PeerID)) {
		p.PeerMaxRequests = maxAskedOfOthers
	}
	if d := c.downloadOf(&p.Peer); d != nil && !d.meet(p, addrOf(&p.Peer)) {
		c.faults.add(addrOf(&p.Peer).Addr(), fleet.FaultFlood)
		hangUpOn(p)
	}
}

// introduced learns the port that a peer which called us listens on. How many requests it lets wait, it says of requests of
// another length if it is not ours; the library reads m after this.
func (c *Client) introduced(p *torrent.PeerConn, m *peerproto.ExtendedHandshakeMessage) {
	if m.Reqq != 0 && !isOurs(peerID(p.PeerID)) {
		m.Reqq = min(max(1, m.Reqq/(chunkLength/partLength)), maxAskedOfOthers)
	}
	if d := c.downloadOf(&p.Peer); d != nil && m.Port > 0 && m.Port <= 65535 {
		d.listens(p, netip.AddrPortFrom(addrOf(&p.Peer).Addr(), uint16(m.Port)))
	}
}

// said learns of a message.
func (c *Client) said(p *torrent.PeerConn, m *peerproto.Message) {
	d := c.downloadOf(&p.Peer)
	if d == nil {
		return
	}
	if fault := d.hear(p, m); fault != "" {
		c.faults.add(addrOf(&p.Peer).Addr(), fault)
		hangUpOn(p)
	}
}

// asked learns that the library asked a peer for a block, or no longer waits for it.
func (c *Client) asked(e torrent.PeerRequestEvent, n int) {
	p, ok := e.Peer.TryAsPeerConn()
	if d := c.downloadOf(e.Peer); ok && d != nil {
		d.ask(p, int(e.Index), n)
	}
}

func (c *Client) received(e torrent.ReceivedUsefulDataEvent) {
	if d := c.downloadOf(e.Peer); d != nil {
		d.count(addrOf(e.Peer).Addr(), int64(len(e.Message.Piece)))
	}
}

func (c *Client) disconnected(p *torrent.PeerConn) {
	if d := c.downloadOf(&p.Peer); d != nil {
		d.part(p)
	}
}

// ended learns why the library hung up on a peer.
func (c *Client) ended(e torrent.StatusUpdatedEvent) {
	if e.Event != torrent.PeerDisconnected || e.Error == nil || brokenOff(e.Error) {
		return
	}
	for _, d := range c.downloads() {
		if addr, ok := d.addrOf(e.PeerId); ok {
			c.faults.add(addr, fleet.FaultProtocol)
			return
		}
	}
}

// brokenOff reports whether an error says no more than that a connection is gone.
func brokenOff(err error) bool {
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network)
}

// hangUpOn ends a connection, from where the library may not be called.
func hangUpOn(p *torrent.PeerConn) {
	go func() { _ = p.Close() }() // it always returns nil
}

// addrOf returns the address at the far end of a peer's connection.
func addrOf(p *torrent.Peer) netip.AddrPort {
	if p.RemoteAddr == nil {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(p.RemoteAddr.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// meet notes a peer. It reports whether one more of that address is welcome.
func (d *Download) meet(p *torrent.PeerConn, addr netip.AddrPort) bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	same := 0
	for _, c := range d.contacts {
		if c.addr.Addr() == addr.Addr() {
			same++
		}
	}
	d.contacts[p] = &contact{addr: addr, met: now, moved: now, gave: now, choked: true}
	return same < maxContactsOfOne
}

// listens corrects where a peer can be called, once it has said so. It may say so on a connection that is already closed.
func (d *Download) listens(p *torrent.PeerConn, addr netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.contacts[p]; c != nil {
		c.addr = addr
	}
}

// hear learns from a peer's message. It returns what is wrong with it, or "".
func (d *Download) hear(p *torrent.PeerConn, m *peerproto.Message) fleet.PeerFault {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.contacts[p]
	if c == nil {
		return ""
	}
	if !m.Keepalive {
		switch m.Type {
		case peerproto.Piece:
			d.blocks++
			d.moved = now
			c.moved, c.mark = now, d.blocks
			c.gave, c.refused = now, 0
			return ""
		case peerproto.Request:
			c.wanted = now
			return ""
		case peerproto.Reject:
			if !c.choked && strings.HasPrefix(string(p.PeerID[:]), clientID) {
				c.refused++
			}
			return ""
		case peerproto.Cancel:
			return ""
		case peerproto.Choke:
			c.choked = true
		case peerproto.Unchoke:
			c.choked = false
		case peerproto.AllowedFast, peerproto.Suggest:
			if int64(m.Index) >= int64(len(d.have)) { // which the library would remember
				return fleet.FaultProtocol
			}
		}
	}
	if c.chatter++; c.chatter > maxChatter+len(d.have)+int(now.Sub(c.met).Seconds()*chatterPerSecond) {
		return fleet.FaultFlood
	}
	return ""
}

// ask counts n further requests to a peer for blocks of a piece; n is negative for those that are settled.
func (d *Download) ask(p *torrent.PeerConn, piece, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[piece] += n
	c := d.contacts[p]
	if c == nil {
		return
	}
	if c.asked == 0 {
		c.moved, c.mark = time.Now(), d.blocks
	}
	c.asked += n
}

func (d *Download) part(p *torrent.PeerConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.contacts, p)
}

// recently is how long ago a peer may have asked for a block that it still waits for.
const recently = time.Minute

// waiting returns the peers that may wait for a block from here.
func (d *Download) waiting(now time.Time) []*torrent.PeerConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	var waiting []*torrent.PeerConn
	for p, c := range d.contacts {
		if now.Sub(c.wanted) < recently {
			waiting = append(waiting, p)
		}
	}
	return waiting
}

// addrOf returns the address of a connected peer.
func (d *Download) addrOf(id torrent.PeerID) (netip.Addr, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p, c := range d.contacts {
		if p.PeerID == id {
			return c.addr.Addr(), true
		}
	}
	return netip.Addr{}, false
}

func (d *Download) count(from netip.Addr, n int64) {
	if d.client.isOrigin(from) {
		d.fromOrigin.Add(n)
	} else {
		d.fromPeers.Add(n)
	}
}
