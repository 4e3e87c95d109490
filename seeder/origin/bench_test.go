package origin

import (
	"testing"
	"time"
)

// BenchmarkHave is what one more HAVE costs of those that 512 peers send while the origin is silent.
func BenchmarkHave(b *testing.B) {
	const peers, pieces = 512, 4096
	var o *Origin
	var buf []Action
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		at := n % (peers * pieces)
		if at == 0 {
			b.StopTimer()
			o = open(b, even(pieces, 256*kib))
			o.Join(0, peers, "")
			o.HaveAll(0, peers)
			for p := range Peer(peers) {
				join(o, 0, p)
			}
			b.StartTimer()
		}
		if err := o.Have(time.Duration(n), Peer(at%peers), at/peers); err != nil {
			b.Fatal(err)
		}
		buf = o.Do(buf[:0])
	}
}

// BenchmarkStorm is the whole life of a swarm, per event: peers join at once, fetch what they are shown and then all the
// rest, in another order each, say so, and leave.
func BenchmarkStorm(b *testing.B) {
	for name, s := range map[string]storm{"512x4096": {512, 4096}, "5000x4000": {5000, 4000}} {
		b.Run(name, func(b *testing.B) {
			events := 0
			for range b.N {
				events += s.run(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type storm struct{ peers, pieces int }

func (s storm) run(b *testing.B) (events int) {
	o := open(b, even(s.pieces, 256*kib))
	now := time.Duration(0)
	buf := []Action(nil)
	done := func() { // an event has been told
		events++
		now += 100 * time.Nanosecond
		buf = o.Do(buf)
	}
	for p := range s.peers {
		o.Join(now, Peer(p), string(rune('a'+p%40)))
		o.HaveNone(now, Peer(p))
		done()
	}
	for k := 0; k < len(buf); k++ { // buf grows while it is walked
		a := buf[k]
		switch a.Kind {
		case Reveal:
			for at := int64(0); at < 256*kib; at += 64 * kib {
				_ = o.Request(now, a.Peer, Block{a.Block.Piece, at, 64 * kib})
				done()
			}
		case Send:
			o.Sent(now, a.Peer, a.Block)
			done()
			if a.Block.Begin == 192*kib {
				_ = o.Have(now, a.Peer, a.Block.Piece)
				done()
			}
		}
	}
	for k := range s.pieces {
		for p := range s.peers {
			_ = o.Have(now, Peer(p), (k*7+p*13)%s.pieces)
			done()
		}
		if at, ok := o.Wake(); ok && at <= now {
			o.Tick(now)
		}
	}
	if st := o.Stats(); !st.Done || st.Sent != o.conf.Size {
		b.Fatalf("in the end %+v", st)
	}
	for p := range s.peers {
		o.Leave(now, Peer(p))
		done()
	}
	return events
}
