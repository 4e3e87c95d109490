package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/identity"
	"github.com/samara-hpc/samara/internal/observe"
	"github.com/samara-hpc/samara/raftstore"
)

// A blobSource fetches blobs for others' imports, and hands out its own.
type blobSource interface {
	Pull(ctx context.Context, r api.PullRequest, progress func(api.Progress)) error
	OpenBlob(d fleet.Digest) (io.ReadCloser, int64, error)
}

// observedWait is how long a question for observations waits for one, and spentEvery how often it looks meanwhile
// whether tokens were spent.
const (
	observedWait = 10 * time.Second
	spentEvery   = 500 * time.Millisecond
)

// A peering answers the other controllers. It implements api.Peers.
type peering struct {
	blobSource
	store   *raftstore.Store
	journal *observe.Journal
	spent   *identity.SpentTokens
	epoch   string // of this process: marks of another are void
	hello   func() api.Hello
}

// Hello implements api.Peers.
func (p *peering) Hello() api.Hello { return p.hello() }

// Propose implements api.Peers.
func (p *peering) Propose(ctx context.Context, entry []byte) (fleet.Revision, error) {
	rev, err := p.store.ProposeEncoded(ctx, entry)
	return rev, apiError(err)
}

// ReadIndex implements api.Peers.
func (p *peering) ReadIndex(ctx context.Context, c api.Consistency) (fleet.Revision, error) {
	rev, err := p.store.ReadIndex(ctx, raftstore.Consistency(c))
	return rev, apiError(err)
}

// Transfer implements api.Peers.
func (p *peering) Transfer(ctx context.Context, to string) error {
	return apiError(p.store.Transfer(ctx, to))
}

// A mark says up to where a controller has told another what it observed.
type mark struct{ journal, spent uint64 }

func (p *peering) parseMark(s string) mark {
	epoch, rest, _ := strings.Cut(s, ".")
	journal, spent, _ := strings.Cut(rest, ".")
	j, err1 := strconv.ParseUint(journal, 10, 64)
	t, err2 := strconv.ParseUint(spent, 10, 64)
	if epoch != p.epoch || err1 != nil || err2 != nil {
		return mark{}
	}
	return mark{j, t}
}

func (p *peering) formatMark(m mark) string {
	return fmt.Sprintf("%s.%d.%d", p.epoch, m.journal, m.spent)
}

// Observed implements api.Peers.
func (p *peering) Observed(ctx context.Context, after string) (api.Observations, error) {
	from := p.parseMark(after)
	ctx, cancel := context.WithTimeout(ctx, observedWait)
	defer cancel()
	for {
		spent, last := p.spent.Since(from.spent)
		look, done := context.WithTimeout(ctx, spentEvery)
		news := p.journal.Since(look, from.journal)
		done()
		if len(spent) > 0 || news.Next != from.journal || ctx.Err() != nil {
			return api.Observations{Boots: news.Boots, Unknown: news.Unknown, Spent: spent, Next: p.formatMark(mark{news.Next, last}), Time: time.Now()}, nil
		}
	}
}

// learner takes in what other controllers observed.
type learner struct {
	state   func() fleet.State
	journal *observe.Journal
	spent   *identity.SpentTokens
	peers   *peerTable
	now     func() time.Time
}

// learn takes in what one other controller observed.
func (l *learner) learn(_ string, o api.Observations) {
	now := l.now()
	l.spent.Learn(o.Spent, now)
	l.journal.Learn(observe.News{Boots: observed(o, now, trusted), Unknown: o.Unknown})
	state := l.state()
	cluster, _ := state.Cluster()
	for _, b := range observed(o, now, 0) {
		if n, ok := state.Node(b.Node); ok && !b.Swarm.Blob.IsZero() {
			if i, ok := n.Interface(b.MAC); ok && i.IP.IsValid() {
				l.peers.hear(b, state.RackOf(n), netip.AddrPortFrom(i.IP, cluster.NodePorts().Swarm), now)
			}
		}
	}
}

// trusted is how far another controller's clock may be off before its times of boots are corrected: so much of a difference
// is a message's time on its way.
const trusted = time.Second

// observed returns the boots that another controller tells of, with times by this controller's clock, of which now is the
// present; differences up to slack are left as they are. The times get monotonic readings, so that they stay as long ago
// as they are when the clock here is set.
func observed(o api.Observations, now time.Time, slack time.Duration) []fleet.Boot {
	present := o.Time // by the other's clock
	if present.IsZero() || now.Sub(present).Abs() <= slack {
		present = now
	}
	here := func(t time.Time) time.Time { return now.Add(t.Sub(present)) }
	boots := slices.Clone(o.Boots)
	for i := range boots {
		b := &boots[i]
		b.Seen = here(b.Seen)
		b.Phases = slices.Clone(b.Phases)
		for k := range b.Phases {
			b.Phases[k].At = here(b.Phases[k].At)
		}
	}
	return boots
}

// stats encodes what a store says of itself for a Hello.
func stats(s *raftstore.Store) json.RawMessage {
	b, err := json.Marshal(s.Stats())
	if err != nil {
		return nil // plain numbers and strings always encode
	}
	return b
}
