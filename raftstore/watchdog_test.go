package raftstore

import (
	"errors"
	"testing"
	"time"
)

func TestWatchdogHelpsWhoStandsStill(t *testing.T) {
	const patience = 5 * time.Second
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	answer := func(last, commit uint64) sighting {
		return sighting{answered: start, stats: Stats{Last: last}, commit: commit}
	}
	type look struct {
		after time.Duration
		seen  sighting
		want  remedy
	}
	missed := answer(10, 20)
	missed.missed = true
	for phrase, c := range map[string]struct {
		first uint64 // of the leader's log
		looks []look
	}{
		"one that misses nothing": {1, []look{
			{0, answer(10, 10), wait}, {time.Hour, answer(10, 10), wait}, {2 * time.Hour, answer(10, 9), wait},
		}},
		"one that moves": {1, []look{
			{0, answer(10, 20), wait}, {5 * time.Second, answer(11, 30), wait}, {10 * time.Second, answer(12, 40), wait},
		}},
		"one that stands still": {1, []look{
			{0, answer(10, 20), wait}, {4 * time.Second, answer(10, 30), wait}, {5 * time.Second, answer(10, 30), reconnect},
			{14 * time.Second, answer(10, 30), wait}, {15 * time.Second, answer(10, 30), resign},
			{24 * time.Second, answer(10, 30), wait}, {25 * time.Second, answer(10, 30), reconnect}, {35 * time.Second, answer(10, 30), reconnect},
		}},
		"one that stood still, moved, and stands still": {1, []look{
			{0, answer(10, 20), wait}, {5 * time.Second, answer(10, 30), reconnect}, {6 * time.Second, answer(11, 30), wait},
			{10 * time.Second, answer(11, 30), wait}, {11 * time.Second, answer(11, 30), reconnect},
		}},
		"one that does not answer": {1, []look{
			{0, answer(10, 20), wait}, {5 * time.Second, missed, wait}, {9 * time.Second, answer(10, 20), wait}, {10 * time.Second, answer(10, 20), reconnect},
		}},
		"one that nobody has heard of": {1, []look{{0, sighting{}, wait}, {time.Hour, sighting{}, wait}}},
		"one that is sent a snapshot": {100, []look{
			{0, answer(0, 200), wait}, {59 * time.Second, answer(0, 200), wait}, {time.Minute, answer(0, 200), reconnect},
		}},
	} {
		t.Run(phrase, func(t *testing.T) {
			var w watchdog
			for _, l := range c.looks {
				if got := w.look(l.seen, c.first, start.Add(l.after), patience); got != l.want {
					t.Errorf("after %s: remedy %d, want %d", l.after, got, l.want)
				}
			}
		})
	}
}

func TestSightingsCountFromTheLastFault(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	silent := errors.New("no answer")
	for phrase, c := range map[string]struct {
		see     func(sighting) sighting
		current time.Time // since when it is up to date
		silent  time.Duration
		alive   bool
		lag     uint64
	}{
		"never asked": {func(s sighting) sighting { s.since = at(0); return s }, time.Time{}, 10 * time.Second, false, 0},
		"never answered": {func(s sighting) sighting {
			return s.next(Stats{}, silent, at(0), 5).next(Stats{}, silent, at(9), 5)
		}, time.Time{}, 10 * time.Second, false, 0},
		"always up to date": {func(s sighting) sighting {
			return s.next(Stats{Last: 5}, nil, at(0), 5).next(Stats{Last: 8}, nil, at(9), 9)
		}, at(0), time.Second, true, 1},
		"one answer missing": {func(s sighting) sighting {
			return s.next(Stats{Last: 5}, nil, at(0), 5).next(Stats{}, silent, at(4), 5).next(Stats{Last: 5}, nil, at(8), 5)
		}, at(8), 2 * time.Second, true, 0},
		"behind once": {func(s sighting) sighting {
			return s.next(Stats{Last: 5}, nil, at(0), 5).next(Stats{Last: 5}, nil, at(4), 6+lagging).next(Stats{Last: 200}, nil, at(8), 200)
		}, at(8), 2 * time.Second, true, 0},
		"behind": {func(s sighting) sighting {
			return s.next(Stats{Last: 5}, nil, at(9), 1005)
		}, time.Time{}, time.Second, true, 1000},
		"failed": {func(s sighting) sighting {
			return s.next(Stats{Last: 5}, nil, at(0), 5).next(Stats{Last: 5, Failure: "disk"}, nil, at(9), 5)
		}, time.Time{}, 10 * time.Second, false, 0},
	} {
		t.Run(phrase, func(t *testing.T) {
			s := c.see(sighting{})
			if !s.current.Equal(c.current) || s.silent(at(10)) != c.silent || s.alive(at(10)) != c.alive || s.lag() != c.lag {
				t.Errorf("current since %s, silent for %s, alive %t, lag %d; want %s, %s, %t, %d",
					s.current, s.silent(at(10)), s.alive(at(10)), s.lag(), c.current, c.silent, c.alive, c.lag)
			}
		})
	}
}
