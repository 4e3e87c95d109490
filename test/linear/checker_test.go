package linear

import (
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/samara-hpc/samara/fleet"
)

// A moment is one operation of a made-up history, with its times.
type moment struct {
	call, back int64
	op         operation
	out        outcome
}

// TestCheckerTellsRightFromWrong holds the test itself to what it is to find.
func TestCheckerTellsRightFromWrong(t *testing.T) {
	write := func(rack string) operation { return operation{write: true, rack: rack} }
	for name, c := range map[string]struct {
		history []moment
		want    porcupine.CheckResult
	}{
		"one after another": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 3, operation{}, outcome{rack: "a", revision: 7}},
			{4, 5, operation{write: true, rack: "b", when: 7}, outcome{revision: 9}},
			{6, 7, operation{write: true, rack: "c", when: 7}, outcome{conflict: true}},
			{8, 9, operation{}, outcome{rack: "b", revision: 9}},
		}, porcupine.Ok},
		"a stale read": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 3, write("b"), outcome{revision: 8}},
			{4, 5, operation{}, outcome{rack: "a", revision: 7}},
		}, porcupine.Illegal},
		"a lost write": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 3, operation{}, outcome{rack: "", revision: 3}},
		}, porcupine.Illegal},
		"an unknown write that took effect late": {[]moment{
			{0, 99, write("a"), outcome{unknown: true}},
			{1, 2, write("b"), outcome{revision: 7}},
			{3, 4, operation{}, outcome{rack: "b", revision: 7}},
			{5, 6, operation{}, outcome{rack: "a", revision: 8}},
		}, porcupine.Ok},
		"an unknown write that never took effect": {[]moment{
			{0, 99, write("a"), outcome{unknown: true}},
			{1, 2, write("b"), outcome{revision: 7}},
			{3, 4, operation{}, outcome{rack: "b", revision: 7}},
		}, porcupine.Ok},
		"an unknown write that took effect twice": {[]moment{
			{0, 99, write("a"), outcome{unknown: true}},
			{1, 2, operation{}, outcome{rack: "a", revision: 6}},
			{3, 4, write("b"), outcome{revision: 7}},
			{5, 6, operation{}, outcome{rack: "a", revision: 8}},
		}, porcupine.Illegal},
		"an unknown conditional write whose condition held": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 99, operation{write: true, rack: "b", when: 7}, outcome{unknown: true}},
			{3, 4, operation{}, outcome{rack: "b", revision: 8}},
		}, porcupine.Ok},
		"an unknown conditional write whose condition did not hold": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 3, write("b"), outcome{revision: 8}},
			{4, 99, operation{write: true, rack: "c", when: 7}, outcome{unknown: true}},
			{5, 6, operation{}, outcome{rack: "c", revision: 9}},
		}, porcupine.Illegal},
		"a condition that did not hold": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 3, operation{write: true, rack: "b", when: 6}, outcome{revision: 8}},
		}, porcupine.Illegal},
		"a conflict where there was none": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 3, operation{write: true, rack: "b", when: 7}, outcome{conflict: true}},
		}, porcupine.Illegal},
		"two conditional writes that both won": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 5, operation{write: true, rack: "b", when: 7}, outcome{revision: 8}},
			{3, 4, operation{write: true, rack: "c", when: 7}, outcome{revision: 9}},
		}, porcupine.Illegal},
		"a revision that went back": {[]moment{
			{0, 1, write("a"), outcome{revision: 7}},
			{2, 3, write("b"), outcome{revision: 6}},
		}, porcupine.Illegal},
	} {
		t.Run(name, func(t *testing.T) {
			var ops []porcupine.Operation
			for i, m := range c.history {
				ops = append(ops, porcupine.Operation{ClientId: i, Input: m.op, Call: m.call, Output: m.out, Return: m.back})
			}
			if got, _ := porcupine.CheckOperationsVerbose(model, ops, 0); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestOrderOfWritesIsThatOfRevisions(t *testing.T) {
	write := func(node string, revision, asked, heard int64) acknowledged {
		return acknowledged{operation{node: node}, fleet.Revision(revision), asked, heard}
	}
	for name, c := range map[string]struct {
		writes []acknowledged
		wrong  int
	}{
		"one after another":                     {[]acknowledged{write("a", 1, 0, 1), write("b", 2, 2, 3), write("a", 3, 4, 5)}, 0},
		"at once, in any order":                 {[]acknowledged{write("a", 1, 2, 9), write("b", 2, 0, 5), write("c", 3, 1, 7)}, 0},
		"the same revision":                     {[]acknowledged{write("a", 1, 0, 1), write("b", 1, 0, 1)}, 1},
		"asked for later, at an earlier one":    {[]acknowledged{write("a", 1, 6, 9), write("b", 2, 0, 5)}, 1},
		"asked for later, at a far earlier one": {[]acknowledged{write("a", 1, 6, 9), write("b", 2, 0, 7), write("c", 3, 0, 5)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if errs := checkOrder(c.writes); len(errs) != c.wrong {
				t.Errorf("got %v, want %d", errs, c.wrong)
			}
		})
	}
}
