package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/samara-hpc/samara/fleet"
	"github.com/samara-hpc/samara/internal/api"
)

// lead sets who leads: lead head2, lead nobody.
func lead(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lead ID|nobody")
	}
	m := ts.Value(memoryKey{}).(*memory)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leader = strings.TrimPrefix(args[0], "nobody")
}

// List shows the state's controllers, all of them alive.
func (m *memory) List() []api.ControllerView {
	m.mu.Lock()
	defer m.mu.Unlock()
	cluster, _ := m.state.Cluster()
	all := make([]api.ControllerView, len(cluster.Controllers))
	for i, c := range cluster.Controllers {
		all[i] = api.ControllerView{ID: c.ID, Address: netip.AddrPortFrom(c.Address, c.Ports.Control), Role: api.RoleVoter, Alive: true,
			Seen: time.Now(), Version: "1.0", Blobs: 4, Disk: api.DiskUsage{Free: 70e9, Size: 100e9}, Self: c.ID == "head"}
		if c.ID == m.leader {
			all[i].Role = api.RoleLeader
		}
	}
	return all
}

func (m *memory) Token(_ context.Context, life time.Duration, _, _ string) (api.JoinToken, error) {
	return api.JoinToken{Token: "samara-join.a.b.c", Expires: time.Now().Add(life)}, nil
}

func (m *memory) Join(context.Context, netip.AddrPort, api.JoinRequest) (api.JoinAnswer, error) {
	return api.JoinAnswer{}, fmt.Errorf("%w: the token was used by head2", fleet.ErrJoin)
}

func (m *memory) Remove(ctx context.Context, id string, _ bool, who, why string) (fleet.Revision, error) {
	return m.Propose(ctx, fleet.Entry{Command: fleet.RemoveController{ID: id}, At: time.Now(), Who: who, Why: why})
}

// Transfer lets another of the state's controllers lead.
func (m *memory) Transfer(_ context.Context, to string) error {
	for _, v := range m.List() {
		if v.ID == to || to == "" && v.Role != api.RoleLeader {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.leader = v.ID
			return nil
		}
	}
	return fmt.Errorf("controller %q: %w", to, fleet.ErrNotFound)
}

// Write writes a backup of a few bytes, and with blobs fails in the middle of a longer one.
func (m *memory) Write(_ context.Context, w io.Writer, blobs bool) error {
	if _, err := io.WriteString(w, "a backup, as far as this test is concerned\n"); err != nil {
		return err
	}
	if blobs {
		return errors.New("a blob is damaged")
	}
	return nil
}

// more adds a controller to the state, as if it had joined: more head2.
func more(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: more ID")
	}
	m := ts.Value(memoryKey{}).(*memory)
	ctx, now := context.Background(), time.Now().UTC()
	token := fleet.JoinToken{ID: "0123456789abcdef", Hash: fleet.Digest{1}, Expires: now.Add(time.Hour)}
	_, err := m.Propose(ctx, fleet.Entry{Command: fleet.AddJoinToken{Token: token}, At: now})
	ts.Check(err)
	_, err = m.Propose(ctx, fleet.Entry{At: now, Command: fleet.JoinController{Token: token.ID, Proof: token.Hash, Controller: fleet.Controller{
		ID: args[0], Address: netip.MustParseAddr("10.1.0.2"), Ports: fleet.DefaultPorts, Key: fleet.Digest{2}}}})
	ts.Check(err)
}

// watch runs a command line until it has printed some lines, and keeps them in a file: watch 3 FILE watch --after 1.
func watch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: watch N FILE args...")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out := &lineLimit{n: n, reached: cancel}
	var stderr strings.Builder
	p := program{socket: ts.Getenv("SAMARA_SOCKET"), terminal: func(any) bool { return false }}
	if status := run(ctx, p, args[2:], strings.NewReader(""), out, &stderr); status != exitFailed || stderr.String() != "samara: interrupted\n" {
		ts.Fatalf("status %d: %s", status, stderr.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes(), 0o600))
}

// A lineLimit keeps what is written, and says when it is n lines.
type lineLimit struct {
	bytes.Buffer
	n       int
	reached func()
}

func (l *lineLimit) Write(b []byte) (int, error) {
	n, err := l.Buffer.Write(b)
	if bytes.Count(l.Bytes(), []byte("\n")) >= l.n {
		l.reached()
	}
	return n, err
}
