package ha

import (
	"path/filepath"
	"strings"
	"testing"
)

// users lets a colleague in at one controller. All of them know her at once, and refuse her once she was deleted at another.
func (o *turnover) users(t *testing.T) {
	identity := filepath.Join(o.dir, "mia")
	o.heads[0].samara(t, "user", "add", "mia", "--role", "operator", "--days", "1", "--dir", identity)
	asking := func(at *head) []string {
		return []string{"node", "list", "-o", "name", "--server", at.Host.Address.String(), "--identity", identity}
	}
	for _, h := range o.heads {
		o.heads[0].samara(t, asking(h)...)
	}
	if out := o.heads[1].samara(t, "user", "list", "-o", "csv"); !strings.Contains(out, "\nmia,operator,") {
		t.Errorf("users at %s:\n%s", o.heads[1].Host.ID, out)
	}
	o.heads[2].samara(t, "user", "delete", "mia", "-y", "-m", "she has left")
	for _, h := range o.heads {
		o.heads[0].refused(t, 1, []string{"was taken back", "samara user add mia --role operator"}, asking(h)...)
	}
	if out := o.heads[0].samara(t, "history", "-n", "1"); !strings.Contains(out, "delete user mia (operator)") || !strings.Contains(out, "she has left") {
		t.Errorf("the history tells %q", out)
	}
}
