package controller

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/samara-hpc/samara/fleet"
)

func TestClaimsAreMadeOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		made := map[fleet.MAC]int{}
		under := 0
		c := newClaimant(func(_ context.Context, e fleet.Entry) (fleet.Revision, error) {
			if under++; under > 1 {
				t.Error("two claims at once")
			}
			time.Sleep(time.Second)
			under--
			claim := e.Command.(*fleet.ClaimNode)
			if made[claim.MAC]++; e.ID == "" || e.Who == "" || claim.Network != "boot" {
				t.Errorf("claim: got %+v with %+v", e, claim)
			}
			return 0, fmt.Errorf("MAC %s %w", claim.MAC, fleet.ErrExists)
		}, func() fleet.State { return fleet.State{} }, "head1", slog.New(slog.DiscardHandler))
		go func() { _ = c.run(ctx) }()
		for range 3 { // machines ask again until they are answered
			for i := range 2 * maxClaims {
				c.claim(fleet.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, "boot")
			}
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(made) < maxClaims || len(made) > maxClaims+2 {
			t.Errorf("%d machines were claimed for, want the %d that there is room for", len(made), maxClaims)
		}
		for mac, n := range made {
			if n != 1 {
				t.Errorf("%d claims for %s, want 1", n, mac)
			}
		}
		c.claim(fleet.MAC{2, 0, 0, 0, 0, 1}, "boot") // it asks to boot again an hour later
		time.Sleep(time.Minute)
		synctest.Wait()
		if made[fleet.MAC{2, 0, 0, 0, 0, 1}] != 2 {
			t.Error("a machine cannot claim again")
		}
	})
}
