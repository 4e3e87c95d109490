package image

import "time"

// A Stage is a part of an import.
type Stage string

// The stages of an import, in order.
const (
	StageScan  Stage = "scan"  // count the bytes of a directory
	StagePack  Stage = "pack"  // read the source and compress it; by far the longest
	StageCheck Stage = "check" // look for the kernel and its drivers
	StageStore Stage = "store" // hash the result and give it its name
)

// Progress tells how far an import is.
type Progress struct {
	Stage Stage
	Done  int64 // bytes of the source; as they are in the stream, compressed or not
	Total int64 // 0 if unknown
}

// reportEvery bounds how often progress is told.
const reportEvery = 200 * time.Millisecond

// A meter counts the bytes of one stage and tells of them.
type meter struct {
	tell func(Progress) // or nil
	at   Progress
	last time.Time
}

func newMeter(tell func(Progress), s Stage, total int64) *meter {
	return &meter{tell: tell, at: Progress{Stage: s, Total: total}}
}

// add counts n bytes more.
func (m *meter) add(n int64) {
	m.at.Done += n
	if m.tell != nil && time.Since(m.last) >= reportEvery {
		m.report()
	}
}

// report tells where the stage is now.
func (m *meter) report() {
	if m.tell != nil {
		m.last = time.Now()
		m.tell(m.at)
	}
}
