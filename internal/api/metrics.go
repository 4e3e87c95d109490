package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/net/netutil"
)

// MetricsPath is where a controller tells its metrics, in Prometheus' text format (version 0.0.4): on the control port and
// the local socket to those who may read all else, and where ServeMetrics listens to whoever asks.
const MetricsPath = "/metrics"

// Bounds of metrics. What is measured costs a walk over all nodes and images, so that answers within metricsFresh of each
// other are one.
const (
	metricsTime  = 10 * time.Second
	metricsFresh = time.Second
	maxScrapers  = 16 // connections of ServeMetrics
)

// An exposition is metrics in Prometheus' text format, which travel as they are.
type exposition []byte

// A gauge is the newest exposition. Its zero value is ready.
type gauge struct {
	mu   sync.Mutex
	text exposition
	at   time.Time
}

func (s *Server) metrics(ctx context.Context, _ *request, _ none) (exposition, error) {
	s.gauge.mu.Lock() // whoever waits gets what the first one measures
	defer s.gauge.mu.Unlock()
	if s.gauge.text != nil && s.Now().Sub(s.gauge.at) < metricsFresh {
		return s.gauge.text, nil
	}
	ctx, cancel := context.WithTimeout(ctx, metricsTime)
	defer cancel()
	text, err := s.expose(ctx)
	if err == nil {
		s.gauge.text, s.gauge.at = text, s.Now()
	}
	return text, err
}

// expose measures everything once.
func (s *Server) expose(ctx context.Context) (exposition, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), survey{s, ctx},
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return b.Bytes(), nil
}

// ServeMetrics tells metrics on l, to whoever asks and in clear, until ctx ends, and closes l. They are numbers with names
// of images, controllers, racks and suspect nodes, and hold no secret. The error is nil if ctx ended.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+MetricsPath, func(w http.ResponseWriter, r *http.Request) {
		text, err := s.metrics(r.Context(), nil, none{})
		if err != nil {
			s.Logger.Warn("metrics cannot be told", "from", r.RemoteAddr, "err", err)
			http.Error(w, "the controller cannot measure itself; its log says why", http.StatusInternalServerError)
			return
		}
		_ = writeAnswer(w, text) // a scraper that went away reads nothing
	})
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: metricsTime + headerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(netutil.LimitListener(l, maxScrapers)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve metrics on %s: %w", l.Addr(), errors.Join(err, srv.Close()))
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		_ = srv.Close()
	}
	<-ended
	return nil
}
