package fleet

import (
	"iter"
	"slices"
)

// A queue is an immutable first-in-first-out list. Its zero value is empty. States that follow each other share most of
// theirs.
type queue[T any] struct {
	front, back *cell[T] // front from the oldest on, then back reversed
	count       int
}

type cell[T any] struct {
	value T
	next  *cell[T]
}

// push returns q with v as the latest.
func (q queue[T]) push(v T) queue[T] {
	q.back = &cell[T]{v, q.back}
	q.count++
	return q
}

// pop returns the oldest of q, which is not empty, and q without it.
func (q queue[T]) pop() (T, queue[T]) {
	if q.front == nil { // once in as many as the queue is long
		for c := q.back; c != nil; c = c.next {
			q.front = &cell[T]{c.value, q.front}
		}
		q.back = nil
	}
	v := q.front.value
	q.front = q.front.next
	q.count--
	return v, q
}

// last returns the latest of q; false if q is empty.
func (q queue[T]) last() (T, bool) {
	for v := range q.backward() {
		return v, true
	}
	var none T
	return none, false
}

// all yields from the oldest on.
func (q queue[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for c := q.front; c != nil; c = c.next {
			if !yield(c.value) {
				return
			}
		}
		for _, v := range slices.Backward(q.back.values()) {
			if !yield(v) {
				return
			}
		}
	}
}

// backward yields from the latest on.
func (q queue[T]) backward() iter.Seq[T] {
	return func(yield func(T) bool) {
		for c := q.back; c != nil; c = c.next {
			if !yield(c.value) {
				return
			}
		}
		for _, v := range slices.Backward(q.front.values()) {
			if !yield(v) {
				return
			}
		}
	}
}

// values returns what c and the cells after it hold.
func (c *cell[T]) values() []T {
	var out []T
	for ; c != nil; c = c.next {
		out = append(out, c.value)
	}
	return out
}
