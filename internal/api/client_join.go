package api

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/samara-hpc/samara/internal/identity"
)

// clockSlack is by how much two clocks may differ before that is why a certificate is refused.
const clockSlack = 5 * time.Minute

// Join asks the controller at address, a host and a port, to take this machine in. The controller must show a
// certificate of the authority that has the pin; this machine has none yet. The error wraps ErrClock if this machine's
// clock is why the certificate is not valid, and otherwise is as Controllers.Join says, or ErrNoAnswer.
func Join(ctx context.Context, address, pin string, r JoinRequest) (JoinAnswer, error) {
	c := NewClient([]string{address}, pin, nil)
	defer c.Close()
	body, err := json.Marshal(r)
	if err != nil {
		return JoinAnswer{}, fmt.Errorf("encode request: %w", err)
	}
	q := question{method: joinController.method, path: joinController.pattern, kind: jsonType, body: body,
		again: repeatUntilKnown, id: NewRequestID()} // the cluster knows the machine again by its key
	answer, err := ask[JoinAnswer](ctx, c, q)
	if bad := (x509.CertificateInvalidError{}); errors.As(err, &bad) && bad.Reason == x509.Expired {
		return JoinAnswer{}, clockError(ctx, address, pin, err)
	}
	return answer, err
}

// clockError says why a certificate that the cluster's authority signed is not valid now: this machine's clock, or the
// certificate. failed is what is said if neither can be told.
func clockError(ctx context.Context, address, pin string, failed error) error {
	t := pinnedTransport(pin, nil)
	t.TLSClientConfig = identity.ClientConfig(pin, nil, []string{"http/1.1"}, func() time.Time { return time.Time{} })
	t.DisableKeepAlives = true
	r, err := http.NewRequestWithContext(ctx, getStatus.method, "https://"+address+getStatus.pattern, nil)
	if err != nil {
		return failed
	}
	resp, err := (&http.Client{Transport: t, CheckRedirect: neverRedirect}).Do(r)
	if err != nil {
		return failed
	}
	defer func() { _ = resp.Body.Close() }()
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return failed
	}
	ours := time.Now()
	if ours.Sub(theirs).Abs() <= clockSlack {
		return fmt.Errorf("%w; on %s: systemctl restart samara renews it", failed, address)
	}
	return fmt.Errorf("%w: here it is %s, at %s it is %s; set this machine's clock (timedatectl set-ntp true, or chronyc makestep) and join again",
		ErrClock, ours.UTC().Format(time.RFC3339), address, theirs.UTC().Format(time.RFC3339))
}
