package api

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/samara-hpc/samara/fleet"
)

// errNotHere means that a Server has no such backend.
func errNotHere(what string) error {
	return fmt.Errorf("%w: this controller has no %s", ErrUnavailable, what)
}

func (s *Server) listControllers(context.Context, *request, none) ([]ControllerView, error) {
	if s.Controllers == nil {
		return nil, errNotHere("list of controllers")
	}
	return append([]ControllerView{}, s.Controllers.List()...), nil
}

func (s *Server) addToken(ctx context.Context, r *request, body TokenRequest) (JoinToken, error) {
	if s.Controllers == nil {
		return JoinToken{}, errNotHere("join tokens")
	}
	life := DefaultTokenLife
	switch limit := int64(MaxTokenLife / time.Second); {
	case body.Life < 0 || body.Life > limit:
		return JoinToken{}, fmt.Errorf("%w life of %d s: want at most %s", fleet.ErrInvalid, body.Life, MaxTokenLife)
	case body.Life > 0:
		life = time.Duration(body.Life) * time.Second
	}
	return s.Controllers.Token(ctx, life, r.who, r.URL.Query().Get(whyParam))
}

func (s *Server) join(ctx context.Context, r *request, body JoinRequest) (JoinAnswer, error) {
	if s.Controllers == nil {
		return JoinAnswer{}, errNotHere("way to join")
	}
	if !s.joins.allow(r.remote().Addr(), s.Now()) {
		return JoinAnswer{}, fmt.Errorf("%w: too many joins from %s; wait a few seconds", ErrUnavailable, r.remote().Addr())
	}
	return s.Controllers.Join(ctx, r.remote(), body)
}

func (s *Server) transfer(ctx context.Context, _ *request, body TransferRequest) (none, error) {
	if s.Controllers == nil {
		return none{}, errNotHere("leadership to hand over")
	}
	return none{}, s.Controllers.Transfer(ctx, body.To)
}

func (s *Server) removeController(ctx context.Context, r *request, _ none) (Change, error) {
	if s.Controllers == nil {
		return Change{}, errNotHere("list of controllers")
	}
	command := fleet.RemoveController{ID: r.PathValue("controller")}
	force, err := flagOf(r.Request, forceParam)
	if err != nil {
		return Change{}, err
	}
	entry := fleet.Entry{Command: command, At: s.Now().UTC(), Who: r.who, Why: r.URL.Query().Get(whyParam)}
	if r.dry {
		return r.dryRun(entry)
	}
	rev, err := s.Controllers.Remove(ctx, command.ID, force, entry.Who, entry.Why)
	if err != nil {
		return Change{}, err
	}
	r.revision = max(rev, s.Store.State().Revision())
	return Change{Revision: rev, Changed: []Difference{{Kind: "controller", Name: command.ID, Action: "delete"}}}, nil
}

// Bounds on joins: they come from strangers, and each may cost a certificate and a change.
const (
	joinsPerSecond = 2 // of one address
	joinBurst      = 4
	maxJoiners     = 1024 // addresses that are remembered
)

// A joinLimiter bounds how often one address may ask to join. The zero value is ready.
type joinLimiter struct {
	mu   sync.Mutex
	from map[netip.Addr]*rate.Limiter
}

// allow reports whether an address may ask now. While too many addresses ask, strangers among them may not.
func (l *joinLimiter) allow(a netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.from[a]
	if !ok {
		if len(l.from) >= maxJoiners {
			for other, limiter := range l.from {
				if limiter.TokensAt(now) >= joinBurst {
					delete(l.from, other) // it may as much as one that never asked
				}
			}
			if len(l.from) >= maxJoiners {
				return false
			}
		}
		if l.from == nil {
			l.from = map[netip.Addr]*rate.Limiter{}
		}
		limiter = rate.NewLimiter(joinsPerSecond, joinBurst)
		l.from[a] = limiter
	}
	return limiter.AllowN(now, 1)
}
