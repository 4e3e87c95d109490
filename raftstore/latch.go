package raftstore

import (
	"errors"
	"sync"
)

// A latch holds the first error it is given. Make one with newLatch.
type latch struct {
	once sync.Once
	done chan struct{} // closed once there is an error
	err  error         // to be read after done is closed
}

func newLatch() *latch { return &latch{done: make(chan struct{})} }

// set keeps err if it is the first. Unless that is ErrClosed, it is ErrFailed from then on.
func (l *latch) set(err error) {
	l.once.Do(func() {
		l.err = err
		if !errors.Is(err, ErrClosed) {
			l.err = failure{err}
		}
		close(l.done)
	})
}

// get returns the error, or nil if there is none yet.
func (l *latch) get() error {
	select {
	case <-l.done:
		return l.err
	default:
		return nil
	}
}

// A failure is why a store ended that was not told to.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func (f failure) Is(target error) bool { return target == ErrFailed }

// A signal wakes all who wait for a change. The zero value is ready. Take the channel first, then look at what may
// have changed, then wait: so no change is missed.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that the next fire closes.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
