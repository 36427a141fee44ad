#!/usr/bin/env bash
# What the binaries in the folder $1 take, beside what does the same work, of the same profile where it is ours: a section of
# tests/FIGURES.md on stdout.
# In a test cluster (tests/run --figures); $2 is what the bench `tick` printed.
set -Eeuo pipefail
# Whatever ends it is told.
trap 'echo "tests/figures.sh: ended at line $LINENO of ${BASH_SOURCE[0]}: $BASH_COMMAND" >&2' ERR
built=$1 tick=$2
work=$(mktemp -d)
trap 'kill ${node_exporter:-} ${fleet_kubelets:-} ${fleet_prometheus:-} ${fleet_httpd:-} 2>/dev/null || true; rm -rf "$work"' EXIT

# succeeds COMMAND...: a figure of a command that failed is none. It is measured in substitutions, whose failure bash overlooks:
# so the whole script is ended from within them.
trap 'exit 1' TERM
succeeds() {
  "$@" >/dev/null 2>"$work/said" || {
    { echo "tests/figures.sh: this failed: $*"; cat "$work/said"; } >&2
    kill -TERM $$
    exit 1
  }
}
# once COMMAND...: seconds of one run.
once() { local start=$EPOCHREALTIME; succeeds "$@"; echo "$start $EPOCHREALTIME" | awk '{printf "%.3f\n", $2 - $1}'; }
median() { sort -n | sed -n 6p; }
# seconds COMMAND...: the median of 11 runs.
seconds() { for _ in $(seq 11); do once "$@"; done | median; }
# beside COMMAND... -- COMMAND...: the medians of both into $ours and $theirs, from runs in turns: whatever else the machine does
# meanwhile, it does to both.
beside() {
  local one=() pairs a b
  while [ "$1" != -- ]; do one+=("$1"); shift; done
  shift
  pairs=$(for _ in $(seq 11); do a=$(once "${one[@]}") && b=$(once "$@") || exit 1; echo "$a $b"; done)
  ours=$(cut -d' ' -f1 <<<"$pairs" | median) theirs=$(cut -d' ' -f2 <<<"$pairs" | median)
}
# memory COMMAND...: the most that it had in RAM, in MiB.
memory() { succeeds /usr/bin/time -f '%M' -o "$work/memory" "$@"; awk '{printf "%.1f", $1 / 1024}' "$work/memory"; }
mebibytes() { awk '{printf "%.1f", $1 / 1048576}'; }
# cpu PID: what it has used so far, in seconds.
cpu() { sed 's/.*) //' "/proc/$1/stat" | awk '{print ($12 + $13) / 100}'; }
# took PID COMMAND...: milliseconds of CPU that the process uses while the command runs 40 times, each.
took() {
  local pid=$1 before
  shift
  before=$(cpu "$pid")
  for _ in $(seq 40); do succeeds "$@"; done
  echo "$before $(cpu "$pid")" | awk '{printf "%.1f", ($2 - $1) * 1000 / 40}'
}
# resident PID: its memory in RAM, in MiB.
resident() { awk '/^VmRSS/ {print $2 * 1024}' "/proc/$1/status" | mebibytes; }
row() { printf '| %s | %s | %s | %s |\n' "$@"; }

cat <<HEAD
\`tests/run --figures\`: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r); kubectl guard
$(kubectl-guard version --client | awk '{print $2; exit}'), Kubernetes $(kubectl version --client | awk 'NR == 1 {print $3}'), $(prometheus-node-exporter --version 2>&1 | awk 'NR == 1 {sub(",", ""); print $1, $3}'). Profile \`dist\`, static by glibc (a release links the plugin with musl, which is not measured); times are medians of 11 runs, in turns with what stands beside them.

| what | kubectl guard | beside it | how |
| --- | --- | --- | --- |
HEAD

for name in guard-exporter kubectl-guard; do
  row "$name on disk" "$(stat -c %s "$built/$name" | mebibytes) MiB" '-' "\`stat\`"
done

for pods in 30 110 250 500; do
  line=$(grep "^$pods pods: " "$tick")
  row "a tick with $pods pods: CPU" "$(sed -E 's/^[^:]*: ([0-9.]+ ms).*/\1/' <<<"$line")" '-' "bench \`tick\`"
  row "the same: resident" "$(sed -E 's/.*; ([0-9.]+ MiB) resident.*/\1/' <<<"$line")" '-' "bench \`tick\`"
done

# begin_node_exporter: as $node_exporter.
scrape_node() { curl -sf http://127.0.0.1:9101/metrics; }
begin_node_exporter() {
  prometheus-node-exporter --web.listen-address=127.0.0.1:9101 >/dev/null 2>&1 &
  node_exporter=$!
  until scrape_node >/dev/null; do sleep 0.2; done
}
end_node_exporter() { kill "$node_exporter"; node_exporter=''; }
begin_node_exporter
row "a scrape of node_exporter, one after another: CPU, resident" '-' \
  "$(took $node_exporter scrape_node) ms, $(resident $node_exporter) MiB" '40 scrapes'
end_node_exporter

kubectl guard install --image guard.test/guard-exporter:test --image-pull-policy Never --kubelet-insecure-tls >/dev/null
# Their first samples are there.
until kubectl guard status -A --all -o json | grep -q '"state": "learning"'; do sleep 1; done
beside kubectl-guard status -A -- kubectl get pods -A
row '`status -A`, 2 nodes' "$ours s, $(memory kubectl-guard status -A) MiB" "$theirs s, $(memory kubectl get pods -A) MiB" \
  '`kubectl get pods -A`; the plugin without kubectl before it'
beside kubectl guard status -A -- kubectl get pods -A
row '`kubectl guard status -A`' "$ours s" "$theirs s" '`kubectl get pods -A`'
beside kubectl-guard version --client -- kubectl version --client
row '`version --client`' "$ours s, $(memory kubectl-guard version --client) MiB" \
  "$theirs s, $(memory kubectl version --client) MiB" '`kubectl version --client`'
row '`demo`' "$(seconds kubectl-guard demo) s" '-' '-'
for pid in $(pgrep -x guard-exporter); do
  row 'an exporter in the cluster, resident' "$(resident "$pid") MiB" '-' '`/proc`'
done

# A node with as many pods as a kubelet takes unless it is told otherwise.
there() { kubectl get pods -A --field-selector spec.nodeName=node1 --no-headers | wc -l; }
crowd=$((110 - $(there)))
kubectl create deployment crowd --image=guard.test/pause:1 --replicas=0 >/dev/null
kubectl patch deployment crowd --type=merge -p '{"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "node1"},
  "terminationGracePeriodSeconds": 0}}}}' >/dev/null
kubectl scale deployment crowd --replicas=$crowd >/dev/null
kubectl rollout status deployment crowd --timeout=10m >/dev/null
pods="$(there) pods on one kubelet"
exporter=$(for pid in $(pgrep -x guard-exporter); do ! grep -q /node1/ "/proc/$pid/cgroup" || echo "$pid"; done)
kubelet=$(pgrep -f 'kubelet --config=.*/node1/')
read_node() { kubectl get --raw "/api/v1/nodes/node1/proxy/$1"; }
# Until the exporter has scored them all.
until [ "$(kubectl guard status --all -o json | grep -c '"name": "crowd-')" -ge $crowd ]; do sleep 1; done
begin_node_exporter
before=$(cpu "$exporter") theirs=$(cpu "$node_exporter")
# A tick each 15 s, and cadvisor every fourth time; a scrape each 15 s, for whoever sleeps in between finds everything cold.
for _ in $(seq 8); do
  sleep 15
  succeeds scrape_node
done
each() { echo "$1 $2" | awk '{printf "%.1f ms", ($2 - $1) * 1000 / 8}'; }
row "$pods: an exporter's CPU in two minutes, a tick" "$(each "$before" "$(cpu "$exporter")")" \
  "$(each "$theirs" "$(cpu "$node_exporter")")" '`/proc`; node_exporter, scraped each 15 s in the same two minutes'
end_node_exporter
row "$pods: the exporter, resident" "$(resident "$exporter") MiB" '-' '`/proc`'
summary=$(took "$kubelet" read_node stats/summary) cadvisor=$(took "$kubelet" read_node metrics/cadvisor)
row "$pods: CPU that is caused in the kubelet, in 30 s" "$(echo "$summary $cadvisor" | awk '{printf "%.0f ms", 2 * $1 + $2 / 2}')" \
  "$(echo "$cadvisor" | awk '{printf "%.0f ms", $1}')" \
  "Prometheus that reads \`/metrics/cadvisor\` each 30 s; a summary takes $summary ms of the kubelet, cadvisor $cadvisor ms, means of 40"
audit=/var/tmp/kubectl-guard-e2e/audit.log
# asked VERB STAGE: how many requests of the exporters the API server has noted so.
asked() { grep '"system:serviceaccount:guard-system:guard-exporter"' "$audit" | grep "\"stage\":\"$2\"" | grep -c "\"verb\":\"$1\""; }
row 'requests of 2 exporters to the API server since they began' "$(asked list ResponseComplete) lists, $(asked watch ResponseStarted) watches" \
  '-' 'its audit log; each watch is begun anew after 290 s, 6.9 a second for 1,000 nodes'

# table ROWS: of 100 pods, every 10 s.
table() {
  awk -v rows="$1" 'BEGIN {
    print "timestamp,namespace,pod,node,cpu_usage_cores,cpu_usage_ratio,memory_working_set_bytes,memory_usage_ratio,network_receive_bytes_per_second,network_transmit_bytes_per_second"
    srand(1)
    for (i = 0; i < rows; i++)
      printf "%s,shop,web-%d,node1,%.4f,%.4f,%d,%.4f,%d,%d\n", strftime("%Y-%m-%dT%H:%M:%SZ", 1796000000 + int(i / 100) * 10, 1), i % 100,
        0.05 + rand() / 100, 0.25 + rand() / 20, 3e7 + rand() * 1e5, 0.3, 4000 + rand() * 400, 9000 + rand() * 900
  }'
}
for rows in 50000 500000; do
  table $rows >"$work/pod_metrics.csv"
  beside kubectl-guard analyze "$work/pod_metrics.csv" --output-file "$work/insights.json" -- "$built/guard-csv" "$work/pod_metrics.csv"
  rate() { awk -v rows=$rows -v seconds="$1" 'BEGIN {printf "%.0f", rows / seconds}'; }
  row "\`analyze\`, $rows rows: rows a second, most memory" \
    "$(rate "$ours"), $(memory kubectl-guard analyze "$work/pod_metrics.csv" --output-file "$work/insights.json") MiB" \
    "$(rate "$theirs") a CSV reader alone, $(rate "$(once wc -l "$work/pod_metrics.csv")") \`wc -l\`" \
    'made rows of 100 pods'
done

. tests/fleet.sh
