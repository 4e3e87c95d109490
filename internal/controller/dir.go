package controller

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/identity"
)

// A dir is a controller's directory. What it holds:
//
//	controller.json   who this controller is; written last by Init, so that its presence means a whole directory
//	keys/             this controller's certificate and private key, the cluster's CA certificate, and the key that
//	                  seals the CA's private key in the replicated state
//	admin/            a client certificate for people, to be copied to where they work
//	raft/             the log and its snapshots
//	blobs/            images, kernels, initramfs
//	lock              held while a process uses the directory
type dir string

func (d dir) path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// self is what controller.json holds: what a controller must know before it has read the state.
type self struct {
	ID        string      `json:"id"`
	Cluster   string      `json:"cluster"`
	ClusterID string      `json:"cluster_id"`
	Address   netip.Addr  `json:"address"`
	Ports     fleet.Ports `json:"ports"`
}

func (s self) controller() fleet.Controller {
	return fleet.Controller{ID: s.ID, Address: s.Address, Ports: s.Ports}
}

func (s self) subject() identity.Subject {
	return identity.Subject{Role: identity.RoleController, Name: s.ID}
}

// load reads controller.json.
func (d dir) load() (self, error) {
	b, err := os.ReadFile(d.path("controller.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return self{}, fmt.Errorf("%s holds no controller; make one with samara init --dir %s", d, d)
	}
	if errors.Is(err, fs.ErrPermission) {
		return self{}, fmt.Errorf("read who this controller is: %w; run as root", err)
	}
	if err != nil {
		return self{}, fmt.Errorf("read who this controller is: %w", err)
	}
	var s self
	if err := json.Unmarshal(b, &s); err != nil {
		return self{}, fmt.Errorf("%s is damaged (%w); restore it from a backup of %s", d.path("controller.json"), err, d)
	}
	return s, nil
}

// initialised reports whether an Init in d was completed.
func (d dir) initialised() bool {
	_, err := os.Lstat(d.path("controller.json"))
	return err == nil
}

// lock makes sure that one process at a time uses d. The lock goes with the process, however it ends.
func (d dir) lock() (unlock func(), err error) {
	f, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", d, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another samara process; see systemctl status samara, or fuser %s", d, d.path("lock"))
		}
		return nil, fmt.Errorf("lock %s: %w", d, err)
	}
	return func() { _ = f.Close() }, nil
}

// certificate loads the controller's certificate and key.
func (d dir) certificate() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(d.path("keys", "controller.crt"), d.path("keys", "controller.key"))
	if err != nil {
		return nil, fmt.Errorf("load this controller's certificate: %w", err)
	}
	return &pair, nil
}

// write puts a file into d so that after a crash it is there whole or not at all.
func (d dir) write(name string, data []byte, mode fs.FileMode) error {
	path := d.path(name)
	if err := writeFile(path, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// read returns a file of d.
func (d dir) read(elem ...string) ([]byte, error) {
	b, err := os.ReadFile(d.path(elem...))
	if err != nil {
		return nil, fmt.Errorf("read the controller's files: %w", err)
	}
	return b, nil
}
