package bootagent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/seeder"
)

// A swarmDay is what a swarm does, second by second, and what the ladder is to make of it.
type swarmDay struct {
	give   func(second int, p *seeder.Progress)
	hangUp []int // seconds
	relief [2]int
}

func TestLadder(t *testing.T) {
	verified := func(p *seeder.Progress) { p.Have++; p.FromPeers++ }
	for name, day := range map[string]swarmDay{
		"all is well":    {func(_ int, p *seeder.Progress) { verified(p) }, nil, [2]int{-1, -1}},
		"nothing at all": {func(int, *seeder.Progress) {}, []int{15, 30, 45, 60}, [2]int{20, 60}},
		"a piece every fourteen seconds": {func(s int, p *seeder.Progress) {
			if s%14 == 0 {
				verified(p)
			}
		}, nil, [2]int{-1, -1}},
		"bytes that make up no piece": {func(_ int, p *seeder.Progress) { p.FromPeers++ }, []int{30, 60}, [2]int{20, 60}},
		"it stops, and moves again": {func(s int, p *seeder.Progress) {
			if s < 5 || s > 27 {
				verified(p)
			}
		}, []int{19}, [2]int{24, 27}},
		"controllers help": {func(s int, p *seeder.Progress) {
			if s > 20 {
				p.Have++
				p.FromControl++
			}
		}, []int{15, 30, 45, 60}, [2]int{20, 60}},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			l := newLadder(begin)
			var p seeder.Progress
			var hangUps []int
			relief := [2]int{-1, -1}
			for s := 1; s <= 60; s++ {
				day.give(s, &p)
				hangUp, needed := l.climb(p, begin.Add(time.Duration(s)*time.Second))
				if hangUp {
					hangUps = append(hangUps, s)
				}
				if needed && relief[0] < 0 {
					relief[0] = s
				}
				if needed {
					relief[1] = s
				}
			}
			if !slices.Equal(hangUps, day.hangUp) || relief != day.relief {
				t.Errorf("hung up at %v, relief from and to %v; want %v, %v", hangUps, relief, day.hangUp, day.relief)
			}
		})
	}
}

// A swarm that stands still again soon after a controller helped is helped at once.
func TestLadderStaysNearAControllerThatHelped(t *testing.T) {
	begin := time.Now()
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	l := newLadder(begin)
	climb := func(s int, p seeder.Progress) bool {
		_, relief := l.climb(p, at(s))
		return relief
	}
	climb(20, seeder.Progress{})
	climb(21, seeder.Progress{Have: 1, FromControl: 1})
	if climb(22, seeder.Progress{Have: 2, FromPeers: 1, FromControl: 1}) {
		t.Error("relief goes on although the swarm moves")
	}
	if !climb(24, seeder.Progress{Have: 2, FromPeers: 1, FromControl: 1}) {
		t.Error("two seconds of stillness after a help are not noticed")
	}
	for s := 25; s < 60; s++ { // the swarm is well again
		climb(s, seeder.Progress{Have: int64(s), FromPeers: int64(s), FromControl: 1})
	}
	if climb(70, seeder.Progress{Have: 59, FromPeers: 59, FromControl: 1}) {
		t.Error("a controller is asked after 11 s, although the swarm has moved by itself for long")
	}
	if !climb(80, seeder.Progress{Have: 59, FromPeers: 59, FromControl: 1}) {
		t.Error("no controller is asked after 21 s")
	}
}

// A brokenStore answers ranges as a test says.
type brokenStore struct {
	controllers []netip.AddrPort

	mu     sync.Mutex
	asked  []string // controller and offset, in order
	answer func(from netip.AddrPort, off int64, into []byte) error
}

func (b *brokenStore) known() []netip.AddrPort { return b.controllers }

func (b *brokenStore) getRange(_ context.Context, from netip.AddrPort, _ fleet.Digest, off int64, into []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, fmt.Sprintf("%d %d+%d", from.Port(), off, len(into)))
	return b.answer(from, off, into)
}

// A gap is a shortage of a whole blob of pieces of 1 MiB.
type gap struct {
	mu   sync.Mutex
	have []bool
	put  func(off int64) error
}

func (g *gap) Missing(limit int) (missing []seeder.Range) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, have := range g.have {
		if !have && len(missing) < limit {
			missing = append(missing, seeder.Range{Off: int64(i) << 20, Len: 1 << 20})
		}
	}
	return missing
}

func (g *gap) Put(off int64, b []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.put != nil {
		if err := g.put(off); err != nil {
			return err
		}
	}
	g.have[off>>20] = true
	return nil
}

func (g *gap) lacks() int { return len(g.Missing(len(g.have))) }

func controllersAt(ports ...uint16) (list []netip.AddrPort) {
	for _, p := range ports {
		list = append(list, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), p))
	}
	return list
}

// relieve runs a relief in a bubble until it is told to stop.
func relieve(t *testing.T, s *brokenStore, g *gap) (r *relief, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r = newRelief(quietLog(), s, fleet.Digest{1}, 1<<20)
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx, g) }()
	return r, func() { cancel(); <-done }
}

func TestReliefFetchesWhileItIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &brokenStore{controllers: controllersAt(1), answer: func(netip.AddrPort, int64, []byte) error {
			time.Sleep(time.Second)
			return nil
		}}
		g := &gap{have: make([]bool, 11)}
		g.have[2] = true
		r, stop := relieve(t, s, g)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.asked) != 0 {
			t.Errorf("asked %v before it was needed", s.asked)
		}
		r.need(true)
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		r.need(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []string{"1 0+2097152", "1 3145728+4194304", "1 7340032+4194304"}; !slices.Equal(s.asked, want) {
			t.Errorf("asked %v, want %v", s.asked, want)
		}
		if g.lacks() != 0 || r.failure() != "" {
			t.Errorf("%d pieces are lacking, %q", g.lacks(), r.failure())
		}
		stop()
	})
}

func TestReliefHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var firstAgain time.Duration
		calls := map[uint16]int{}
		s := &brokenStore{controllers: controllersAt(1, 2)}
		s.answer = func(from netip.AddrPort, _ int64, _ []byte) error {
			calls[from.Port()]++
			if calls[from.Port()] == 1 {
				return &busy{from, 40 * time.Second}
			}
			if firstAgain == 0 {
				firstAgain = time.Since(begin)
			}
			return nil
		}
		g := &gap{have: make([]bool, 4)}
		r, stop := relieve(t, s, g)
		r.need(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		s.mu.Lock()
		if calls[1] != 1 || calls[2] != 1 {
			t.Errorf("controllers were asked %v times within 5 s, want each once", calls)
		}
		s.mu.Unlock()
		if r.failure() == "" {
			t.Error("nothing is said of busy controllers")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if firstAgain < 30*time.Second || firstAgain > 51*time.Second || g.lacks() != 0 {
			t.Errorf("asked again after %s, %d pieces lacking", firstAgain, g.lacks())
		}
	})
}

func TestReliefTurnsFromControllersThatFail(t *testing.T) {
	for name, fail := range map[string]func(g *gap) error{
		"cannot be reached": func(*gap) error { return errors.New("connection refused") },
		"has no such image": func(*gap) error { return &refusal{Status: 404, Text: "not found"} },
		"sends wrong bytes": func(*gap) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := 0
				wrong := false
				g := &gap{have: make([]bool, 64)}
				g.put = func(int64) error {
					if wrong {
						return fmt.Errorf("putting: %w", seeder.ErrPiece)
					}
					return nil
				}
				s := &brokenStore{controllers: controllersAt(1, 2)}
				s.answer = func(from netip.AddrPort, _ int64, _ []byte) error {
					time.Sleep(100 * time.Millisecond)
					wrong = from.Port() == 1 && name == "sends wrong bytes"
					if from.Port() == 1 {
						bad++
						return fail(g)
					}
					return nil
				}
				r, stop := relieve(t, s, g)
				r.need(true)
				time.Sleep(time.Minute)
				synctest.Wait()
				stop()
				if g.lacks() != 0 || bad > 6 {
					t.Errorf("%d pieces are lacking, the controller that fails was asked %d times", g.lacks(), bad)
				}
			})
		})
	}
}
