#!/usr/bin/env bash
# Sizes of the binaries in the folder $1, and the time that people wait for them; in a test cluster (tests/run --figures).
set -euo pipefail

# seconds COMMAND...: the median of 11 runs.
seconds() {
  local i start
  for ((i = 0; i < 11; i++)); do
    start=$EPOCHREALTIME
    "$@" >/dev/null 2>&1
    echo "$start $EPOCHREALTIME"
  done | awk '{printf "%.3f\n", $2 - $1}' | sort -n | sed -n 6p
}
mebibytes() { awk '{printf "%.1f MiB\n", $1 / 1048576}'; }

for name in guard-exporter kubectl-guard; do
  echo "$name: $(stat -c %s "$1/$name" | mebibytes) on disk"
done
kubectl guard install --image guard.test/guard-exporter:test --image-pull-policy Never --kubelet-insecure-tls >/dev/null
# Their first samples are there.
until kubectl guard status -A --all -o json | grep -q '"state": "learning"'; do sleep 1; done
echo "kubectl guard demo: $(seconds kubectl guard demo) s"
echo "kubectl guard status -A, 2 nodes: $(seconds kubectl guard status -A) s"
echo "kubectl get pods -A: $(seconds kubectl get pods -A) s"
echo "kubectl guard version --client: $(seconds kubectl guard version --client) s; kubectl version --client: $(seconds kubectl version --client) s"
for pid in $(pgrep -x guard-exporter); do
  echo "an exporter in the cluster: $(awk '/^VmRSS/ {print $2 * 1024}' "/proc/$pid/status" | mebibytes) resident"
done
