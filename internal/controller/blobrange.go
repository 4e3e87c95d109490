package controller

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
	"github.com/samara-hpc/samara/internal/blob"
)

// roots is a controller's blobs as api.Roots.
type roots struct{ blobs *blob.Store }

// OpenRoot implements api.Roots.
func (r roots) OpenRoot(d fleet.Digest) (api.Root, error) {
	b, err := r.blobs.Open(d)
	var damaged *blob.CorruptError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("root %s: %w on this controller", d.Short(), fleet.ErrNotFound)
	case errors.As(err, &damaged): // it is being repaired
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	case err != nil:
		return nil, err
	}
	return b, nil
}
