package broker

// For tests of what only shows from another machine, or under a fault.
var (
	MetricsGuard = metricsGuard
	ListenUnix   = listenUnix
	NumberOf     = numberOf
)
