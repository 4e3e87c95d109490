package fleet_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/samara-hpc/samara/fleet"
)

const orderedMachines = 10_000

// machine returns one of a rack of machines, whose addresses count up as those that are bought together do.
func machine(i int) fleet.MAC {
	m := fleet.MAC{0x52, 0x54}
	binary.BigEndian.PutUint32(m[2:], uint32(i))
	return m
}

func controllersNamed(ids ...string) []fleet.Controller {
	var cs []fleet.Controller
	for _, id := range ids {
		cs = append(cs, fleet.Controller{ID: id})
	}
	return cs
}

func TestOrderSpreadsMachinesEvenly(t *testing.T) {
	for _, n := range []int{3, 5} {
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprintf("head%d", i+1))
		}
		controllers := controllersNamed(ids...)
		places := make([]map[string]int, n)
		for i := range places {
			places[i] = map[string]int{}
		}
		for i := range orderedMachines {
			for place, c := range fleet.Order(machine(i), controllers) {
				places[place][c.ID]++
			}
		}
		want := float64(orderedMachines) / float64(n)
		for place, count := range places {
			for _, id := range ids {
				if got := float64(count[id]); got < want*0.95 || got > want*1.05 {
					t.Errorf("%d controllers: %s is number %d for %v machines, want %v within 5 %%", n, id, place, got, want)
				}
			}
		}
	}
}

func TestOrderIsTheSameAtEveryController(t *testing.T) {
	controllers := controllersNamed("a", "b", "c", "d", "e")
	given := slices.Clone(controllers)
	for i := range 100 {
		want := fleet.Order(machine(i), controllers)
		rand.Shuffle(len(given), func(i, j int) { given[i], given[j] = given[j], given[i] })
		if got := fleet.Order(machine(i), given); !slices.Equal(got, want) {
			t.Fatalf("%s: %v from %v, want %v", machine(i), got, given, want)
		}
	}
	if !slices.Equal(controllers, controllersNamed("a", "b", "c", "d", "e")) {
		t.Error("Order changed what it was given")
	}
}

func TestOrderOfTheOthersOutlivesADeath(t *testing.T) {
	controllers := controllersNamed("a", "b", "c", "d", "e")
	for i := range 1000 {
		full := fleet.Order(machine(i), controllers)
		for dead := range controllers {
			want := slices.DeleteFunc(slices.Clone(full), func(c fleet.Controller) bool { return c.ID == controllers[dead].ID })
			if got := fleet.Order(machine(i), slices.Delete(slices.Clone(controllers), dead, dead+1)); !slices.Equal(got, want) {
				t.Fatalf("%s without %s: %v, want %v", machine(i), controllers[dead].ID, got, want)
			}
		}
	}
}

func TestOrderOfNoneIsEmpty(t *testing.T) {
	if got := fleet.Order(machine(1), nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func BenchmarkOrder(b *testing.B) {
	controllers := controllersNamed("head1", "head2", "head3")
	for b.Loop() {
		fleet.Order(machine(1), controllers)
	}
}
