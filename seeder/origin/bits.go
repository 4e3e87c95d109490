package origin

import mathbits "math/bits"

// A bits is a set of pieces. Finding its lowest element costs little while the low ones go first.
type bits struct {
	words []uint64
	n     int // elements
	low   int // no word before this one holds an element
}

func newBits(pieces int) bits { return bits{words: make([]uint64, (pieces+63)/64)} }

func (b *bits) has(i int) bool { return b.words[i/64]>>(i%64)&1 != 0 }

// set puts i in, and says whether it was missing.
func (b *bits) set(i int) bool {
	w, m := i/64, uint64(1)<<(i%64)
	if b.words[w]&m != 0 {
		return false
	}
	b.words[w] |= m
	b.n++
	b.low = min(b.low, w)
	return true
}

// unset takes i out, and says whether it was there.
func (b *bits) unset(i int) bool {
	w, m := i/64, uint64(1)<<(i%64)
	if b.words[w]&m == 0 {
		return false
	}
	b.words[w] &^= m
	b.n--
	return true
}

// reset takes everything out.
func (b *bits) reset() {
	clear(b.words)
	b.n, b.low = 0, 0
}

// next is the lowest element from i on that is in neither of two other sets, or -1.
func (b *bits) next(i int, not, nor *bits) int {
	for b.low < len(b.words) && b.words[b.low] == 0 {
		b.low++
	}
	for w := max(i/64, b.low); w < len(b.words); w++ {
		x := b.words[w] &^ not.words[w] &^ nor.words[w]
		if w == i/64 {
			x &= ^uint64(0) << (i % 64)
		}
		if x != 0 {
			return w*64 + mathbits.TrailingZeros64(x)
		}
	}
	return -1
}

// each calls f with the elements, from low to high.
func (b *bits) each(f func(i int)) {
	for w, x := range b.words {
		for ; x != 0; x &= x - 1 {
			f(w*64 + mathbits.TrailingZeros64(x))
		}
	}
}
