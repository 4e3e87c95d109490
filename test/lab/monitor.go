package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// A Monitor is a session with QEMU's monitor, in its machine protocol (docs/interop/qmp-intro.txt in QEMU).
type Monitor struct {
	conn net.Conn
	dec  *json.Decoder
}

// A monitorMessage is any line that QEMU sends: an answer has return or error, all others are events or the greeting.
type monitorMessage struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

func dialMonitor(ctx context.Context, path string) (*Monitor, error) {
	var m *Monitor
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) { // QEMU makes the socket some time after its start
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return false, nil
		}
		m = &Monitor{conn: conn, dec: json.NewDecoder(conn)}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("monitor %s: %w", path, err)
	}
	if err := m.Execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Execute gives a command and decodes its answer into answer, unless that is nil.
func (m *Monitor) Execute(ctx context.Context, command string, arguments, answer any) error {
	fail := func(err error) error { return fmt.Errorf("monitor: %s: %w", command, err) }
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	if err := m.conn.SetDeadline(deadline); err != nil {
		return fail(err)
	}
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return fail(err)
	}
	for {
		var msg monitorMessage
		if err := m.dec.Decode(&msg); err != nil {
			return fail(err)
		}
		switch {
		case msg.Error != nil:
			return fail(fmt.Errorf("%s: %s", msg.Error.Class, msg.Error.Desc))
		case msg.Return != nil && answer != nil:
			return json.Unmarshal(msg.Return, answer)
		case msg.Return != nil:
			return nil
		}
	}
}

// Status returns QEMU's word for the machine's state, such as "running" or "shutdown".
func (m *Monitor) Status(ctx context.Context) (string, error) {
	var s struct {
		Status string `json:"status"`
	}
	err := m.Execute(ctx, "query-status", nil, &s)
	return s.Status, err
}

// Close ends the session; the machine runs on.
func (m *Monitor) Close() error { return m.conn.Close() }
