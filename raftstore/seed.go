package raftstore

import (
	"errors"

	"github.com/samara-hpc/samara/fleet"
)

// Seed makes a store in dir that holds state and whose only voter is the controller with that id and address.
func Seed(dir string, state fleet.State, id, address string) error {
	return errors.New("not yet written: " + dir)
}
