package tftp

import (
	"fmt"
	"io/fs"
	"strings"
)

// Files are what can be fetched, by name. They must not change while a Server uses them.
type Files map[string][]byte

// maxName bounds a requested name, in bytes.
const maxName = 128

// Resolve returns the file that a client means by name, and the name it is known by here. Leading slashes do not
// count, since firmware adds them at will. The error wraps fs.ErrNotExist and is safe to print.
func (f Files) Resolve(name string) (string, []byte, error) {
	if len(name) > maxName {
		return "", nil, fmt.Errorf("file %q…: %w", name[:maxName], fs.ErrNotExist)
	}
	known := strings.TrimLeft(name, "/")
	data, ok := f[known]
	if !ok {
		return "", nil, fmt.Errorf("file %q: %w", name, fs.ErrNotExist)
	}
	return known, data, nil
}
