package broker

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-7a41469f/godwit/api"
	"github.com/seed-7a41469f/godwit/delivery"
	"github.com/seed-7a41469f/godwit/hooks"
	"github.com/seed-7a41469f/godwit/sms"
)

// metrics reads the counters of the broker's parts when it is asked for them; nothing is counted twice and nothing on the way of a message
// knows Prometheus.
type metrics struct {
	engine    *delivery.Stats
	hooks     *hooks.Stats
	gateways  []*meter
	listeners []*Listener
	http      *api.API
	currency  func() string // of the prices; empty: there are none
	callbacks atomic.Uint64 // refused
}

var _ prometheus.Collector = (*metrics)(nil)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("godwit_"+name, help, labels, nil)
}

var (
	descConnected  = desc("devices_connected", "Connections that have logged in.")
	descReady      = desc("devices_ready", "Devices that a message can be pushed to.")
	descAccepted   = desc("messages_accepted_total", "Messages on disk and acknowledged.", "root")
	descSettled    = desc("messages_settled_total", "Messages that reached a final state.", "state", "via")
	descOpen       = desc("messages_open", "Messages that have not reached a final state.")
	descPushAck    = desc("push_ack_seconds", "From the first write of a push to its PUBACK.")
	descCommit     = desc("commit_seconds", "How long one commit to disk takes.")
	descGroup      = desc("commit_messages", "Changes in one commit.")
	descSubmitted  = desc("sms_submitted_total", "Submits by what came of them.", "gateway", "result")
	descSegments   = desc("sms_segments_total", "Segments that the gateway took.", "gateway")
	descSpend      = desc("sms_spend_total", "What SMS cost that a carrier has, or may have.", "currency")
	descQueue      = desc("sms_queue", "Messages that wait for a place at a gateway.")
	descDLR        = desc("dlr_total", "Delivery reports.", "gateway", "state")
	descMO         = desc("mo_total", "SMS that came in.", "gateway", "result")
	descHeld       = desc("fallback_held", "Messages whose SMS the storm brake holds.")
	descDuplicates = desc("duplicates_total", "PUBACKs for a message that was already delivered another way.")
	descRefused    = desc("refused_total", "What was refused.", "reason")
	descPanics     = desc("panics_recovered_total", "Connections and requests that ended by a panic of the broker.")
	descRequests   = desc("http_requests_total", "HTTP requests by the pattern of their route and the class of their status.", "route", "code")
)

// Describe sends nothing: the metrics are those of Collect.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends every metric with every label value known in advance.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	out := sender{ch}
	m.devices(out)
	m.messages(out)
	m.sms(out)
	for reason, n := range m.refused() {
		out.counter(descRefused, n, reason)
	}
	var panics uint64
	for _, l := range m.listeners {
		panics += l.Stats().Panics.Load()
	}
	out.counter(descPanics, panics+m.http.Panics())
	m.http.Requests(func(route string, class int, n uint64) {
		out.counter(descRequests, n, route, classNames[class-1])
	})
}

// refused sums up by reason, since some things are refused at more than one door.
func (m *metrics) refused() map[string]uint64 {
	sum := map[string]uint64{RefusedCallback: m.callbacks.Load()}
	for i, reason := range hooks.Refusals {
		sum[reason] += m.hooks.Refused[i].Load()
	}
	for i, reason := range api.Refusals {
		sum[reason] += m.http.Refused(api.Refusal(i))
	}
	for _, l := range m.listeners {
		sum[RefusedConnections] += l.Stats().RefusedFull.Load()
		sum[RefusedAddress] += l.Stats().RefusedAddress.Load()
	}
	return sum
}

func (m *metrics) devices(out sender) {
	out.gauge(descConnected, m.hooks.Connected.Load())
	out.gauge(descReady, m.engine.Ready.Load())
}

func (m *metrics) messages(out sender) {
	for root, name := range map[delivery.Root]string{delivery.RootTo: "to", delivery.RootApp: "app", delivery.RootSMS: "sms"} {
		out.counter(descAccepted, m.engine.Accepted[root].Load(), name)
	}
	settled := &m.engine.Settled
	out.counter(descSettled, settled[delivery.Delivered][delivery.ViaPush].Load(), "delivered", "push")
	out.counter(descSettled, settled[delivery.Delivered][delivery.ViaSMS].Load(), "delivered", "sms")
	out.counter(descSettled, anyVia(settled, delivery.Submitted), "submitted", "sms")
	out.counter(descSettled, anyVia(settled, delivery.Failed), "failed", "none")
	out.counter(descSettled, anyVia(settled, delivery.Expired), "expired", "none")
	out.gauge(descOpen, m.engine.Open.Load())
	out.gauge(descHeld, m.engine.Held.Load())
	out.counter(descDuplicates, m.engine.Duplicates.Load())
	out.histogram(descPushAck, &m.engine.PushAck)
	out.histogram(descCommit, &m.engine.Commit)
	out.histogram(descGroup, &m.engine.CommitGroups)
}

func (m *metrics) sms(out sender) {
	out.gauge(descQueue, m.engine.SMSQueue.Load())
	for _, g := range m.gateways {
		for class, result := range resultNames {
			out.counter(descSubmitted, g.results[class].Load(), g.Name(), result)
		}
		out.counter(descSegments, g.segments.Load(), g.Name())
		for _, state := range []sms.DLRState{sms.Enroute, sms.Undelivered, sms.DeliveredSMS} {
			out.counter(descDLR, g.dlrs[state].Load(), g.Name(), dlrNames[state])
		}
		for result, name := range moNames {
			out.counter(descMO, m.engine.MOs[g.Name()][result].Load(), g.Name(), name)
		}
	}
	if currency := m.currency(); currency != "" {
		out.sum(descSpend, float64(m.engine.Spent.Load())/1e6, currency)
	}
}

// moNames are the labels of what became of MOs.
var moNames = [delivery.MOResults]string{
	delivery.MOConversation: "conversation", delivery.MOContact: "contact", delivery.MOUnmatched: "unmatched", delivery.MOStop: "stop", delivery.MORepeated: "repeated",
}

// Reasons of godwit_refused_total for connections that nobody has looked at.
const (
	RefusedConnections = "connections" // there are limits.connections
	RefusedAddress     = "address"     // too many of one network address have not logged in, or failed to
)

// classNames are the labels of an HTTP status.
var classNames = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// handler answers /metrics.
func (m *metrics) handler() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}), nil
}
