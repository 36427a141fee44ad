// The Prometheus operator's own definitions of its objects, which the test cluster gets: nothing is built from them.
module guard.test/operator

go 1.25.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
