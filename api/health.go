package api

import (
	"context"
	"net/http"
)

// Health is the answer of /readyz.
type Health struct {
	Ready    bool   `json:"ready" doc:"Messages are accepted."`
	Store    string `json:"store" doc:"ok, or what is wrong."`
	Disk     string `json:"disk" enum:"ok,low" doc:"low: nothing new is accepted."`
	Recovery string `json:"recovery" enum:"done,running" doc:"running: messages of the last run are still being read; clients are served."`
	Alarm    string `json:"alarm,omitempty" doc:"The store has lost something."`
}

// Alive is the answer of /healthz.
type Alive struct {
	Status string `json:"status" enum:"ok"`
}

// probes mounts /healthz, /readyz and /metrics.
func (a *API) probes(s *site) {
	register(s, operation("GET /healthz", "getHealth", tagProbes, "Whether the process works"), func(context.Context, *struct{}) (*out[Alive], error) {
		return &out[Alive]{Alive{"ok"}}, nil
	})
	register(s, withStatus(operation("GET /readyz", "getReadiness", tagProbes, "Whether messages are accepted"), http.StatusServiceUnavailable, "They are not.", "Health"), a.readiness)
	if a.cfg.Metrics != nil {
		s.handle("GET /metrics", a.cfg.Metrics)
	}
}

type readiness struct {
	Status int
	Body   Health
}

func (a *API) readiness(context.Context, *struct{}) (*readiness, error) {
	r := &readiness{Status: http.StatusOK}
	if a.cfg.Health != nil {
		r.Body = a.cfg.Health()
	}
	if !r.Body.Ready {
		r.Status = http.StatusServiceUnavailable
	}
	return r, nil
}
