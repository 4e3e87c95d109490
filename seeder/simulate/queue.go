package simulate

import "math"

// never is a time that does not come.
const never = math.MaxInt64

// kind says what an event is.
type kind uint8

const (
	evArrive   kind = iota // node a wants the image from now on
	evAsk                  // node a asks its controllers for peers
	evConnect              // node a reaches node b
	evDone                 // the fragment on half-edge a is at its end; b: its uplink is free too
	evFree                 // the uplink of node a is free
	evHave                 // node a has piece b, and its peers know
	evNudge                // node a waits for fragments that are all on their way
	evHangUp               // node a's peers give it up
	evFail                 // failure a befalls
	evJoin                 // node a reaches controller b
	evReveal               // feed a is shown piece b, and its requests arrive
	evBlock                // the block of feed a is at its end; b: the controller's uplink is free too
	evOriginUp             // the uplink of controller a is free
	evTick                 // controller a has a deadline
	evShare                // the controllers that are left know it
	evNotice               // node a is known to be gone
	evWatch                // is there progress at all?
)

// An event is due at a time. What a and b are depends on its kind; gen must be that of the connection it is about.
type event struct {
	at   int64 // nanoseconds
	a, b int32
	gen  uint16
	kind kind
}

// A queue is a heap of events, four children to a parent: half as deep as a binary one, and a parent's children share
// two cache lines.
type queue []event

func (q *queue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if h[parent].at <= e.at {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
	*q = h
}

// pop removes the event that is due first. The queue must not be empty.
func (q *queue) pop() event {
	h := *q
	first := h[0]
	last := len(h) - 1
	e := h[last]
	h = h[:last]
	i := 0
	for {
		child := 4*i + 1
		if child >= last {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, last); c++ {
			if h[c].at < h[least].at {
				least = c
			}
		}
		if h[least].at >= e.at {
			break
		}
		h[i] = h[least]
		i = least
	}
	if last > 0 {
		h[i] = e
	}
	*q = h
	return first
}
