package fleet

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Order returns the controllers in the order in which they are to answer the machine with that MAC: the first answers,
// the others stand in for it. Every controller computes the same order, machines are spread evenly, and when one
// controller leaves, the others keep their order (rendezvous hashing: Thaler and Ravishankar, IEEE/ACM ToN 6(1), 1998).
func Order(m MAC, controllers []Controller) []Controller {
	type ranked struct {
		Controller
		weight uint64
	}
	order := make([]ranked, len(controllers))
	for i, c := range controllers {
		sum := sha256.Sum256(append(m[:len(m):len(m)], c.ID...))
		order[i] = ranked{c, binary.BigEndian.Uint64(sum[:])}
	}
	slices.SortFunc(order, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), strings.Compare(a.ID, b.ID))
	})
	result := make([]Controller, len(order))
	for i, o := range order {
		result[i] = o.Controller
	}
	return result
}
