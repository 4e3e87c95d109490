package controller

import (
	"cmp"
	"maps"
	"slices"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/seeder"
)

// digestOf returns which blob a torrent on offer is of.
func (o *origin) digestOf(h seeder.Hash) (fleet.Digest, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for d, s := range o.offered {
		if s.hash == h {
			return d, true
		}
	}
	return fleet.Digest{}, false
}

// seeding returns what is on offer and what was sent of it.
func (o *origin) seeding() api.Seeding {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, all := api.Seeding{Torrents: len(o.offered)}, o.gone
	for _, g := range o.past {
		all = all.and(g)
	}
	for _, offered := range o.offered {
		now, _ := o.server.Stats(offered.hash)
		s.Peers += now.Peers
		all = all.and(givenOf(now))
	}
	s.OriginBytes, s.CopiedBytes = all.sent, all.copied
	return s
}

// failures returns why roots are not on offer.
func (o *origin) failures() map[fleet.Digest]error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.failed)
}

// offers returns what is on offer, by root, and no more than other controllers may be told.
func (o *origin) offers() []api.Offer {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []api.Offer
	for root, s := range o.offered {
		now, _ := o.server.Stats(s.hash)
		all := o.past[root].and(givenOf(now))
		list = append(list, api.Offer{Root: root, Peers: now.Peers, Sent: all.sent, Copied: all.copied, Rate: now.Rate, Unsent: now.Unsent})
	}
	slices.SortFunc(list, func(a, b api.Offer) int { return slices.Compare(a.Root[:], b.Root[:]) })
	return list[:min(len(list), api.MaxOffers)]
}

// offering returns the controllers that are alive and offer a root, this one first, or all that are alive if none does:
// one that fetches the root serves what it has of it.
func (o *origin) offering(root fleet.Digest) []fleet.Controller {
	o.mu.Lock()
	own := o.offered[root] != nil
	o.mu.Unlock()
	live := []fleet.Controller{o.self}
	var offering []fleet.Controller
	if own {
		offering = append(offering, o.self)
	}
	for _, c := range living(o.others()) {
		live = append(live, c.Controller)
		if c.offers(root) {
			offering = append(offering, c.Controller)
		}
	}
	if len(offering) == 0 {
		return live
	}
	return offering
}

// origins returns every controller as an origin of a root, by id.
func (o *origin) origins(root fleet.Digest) []api.SwarmController {
	all := append(o.others(), otherController{Controller: o.self, Alive: true, Offers: o.offers()})
	list := make([]api.SwarmController, len(all))
	for i, c := range all {
		list[i] = api.SwarmController{ID: c.ID, Alive: c.Alive}
		for _, f := range c.Offers {
			if f.Root == root {
				list[i].Offers = c.Alive
				list[i].Peers, list[i].Sent, list[i].Copied, list[i].Rate, list[i].Unsent = f.Peers, f.Sent, f.Copied, f.Rate, f.Unsent
			}
		}
		if !c.Alive { // what it said last is over
			list[i].Peers, list[i].Rate = 0, 0
		}
	}
	slices.SortFunc(list, func(a, b api.SwarmController) int { return cmp.Compare(a.ID, b.ID) })
	return list
}
