package bootagent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/samara-hpc/samara/fleet"
)

// maxKeysFile bounds an authorized_keys file of an image, and maxPasswd a passwd file, in bytes.
const (
	maxKeysFile = 1 << 20
	maxPasswd   = 16 << 20
)

// fillIn makes the image this node's own: its name, whom it knows, who may log in. Everything is written into the
// overlay's upper layer. How the image configures its network is its own affair: the interface keeps its address
// until the image says otherwise.
func fillIn(dir string, m fleet.Manifest, a address) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("fill in the image: %w", err)
	}
	defer root.Close()
	files := []struct {
		name string
		text []byte
		mode fs.FileMode
	}{
		{"/etc/hostname", []byte(m.Node + "\n"), 0o644},
		{"/etc/hosts", renderHosts(m), 0o644},
		{"/etc/resolv.conf", renderResolv(m, a), 0o644},
		{"/etc/machine-id", []byte(m.MachineID + "\n"), 0o444},
	}
	for _, f := range files {
		if f.name == "/etc/machine-id" && m.MachineID == "" {
			continue // the image's init makes one up
		}
		if err := writeIn(root, f.name, f.text, f.mode); err != nil {
			return fmt.Errorf("fill in the image: %w", err)
		}
	}
	if err := authorize(root, m.AuthorizedKeys); err != nil {
		return fmt.Errorf("fill in the image: %w", err)
	}
	return nil
}

// authorize lets the holders of keys log in as root. sshd wants the directory and the file to be root's alone.
func authorize(root *os.Root, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	passwd, err := readIn(root, "/etc/passwd", maxPasswd)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir, err := privateDir(root, path.Join(rootHome(passwd), ".ssh"))
	if err != nil {
		return err
	}
	name := path.Join("/", dir, "authorized_keys")
	image, err := readIn(root, name, maxKeysFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeIn(root, name, mergeKeys(image, keys), 0o600)
}

// privateDir makes a directory inside root, and the one above it, for root's eyes only. It returns where that is.
func privateDir(root *os.Root, name string) (string, error) {
	dir, err := resolveIn(root, name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := root.MkdirAll(path.Dir(dir), 0o700); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := errors.Join(root.Lchown(dir, 0, 0), root.Chmod(dir, 0o700)); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return dir, nil
}
