# shellcheck shell=bash
# A section of tests/figures.sh, which has its functions: a fleet of more nodes than there are. First 500 nodes whose exporters are
# read through the API server, with guard-kubelets for their kubelets; then 5,000 with 150,000 pods in a real Prometheus, of which
# the 50 worst are pods of the API server.

fleet=$work/fleet
mkdir -p "$fleet/served"

# fleet_objects NODES NAMESPACE POD: a node each, and a pod on it that no kubelet runs.
fleet_objects() {
  local i
  for ((i = 0; i < $1; i++)); do
    printf '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fleet-%d"}, "status": {"addresses":
      [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 9107}}}}' "$i"
    printf '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "%s-%d", "namespace": "%s", "labels": {"app.kubernetes.io/name":
      "guard-exporter"}}, "spec": {"nodeName": "fleet-%d", "containers": [{"name": "c", "image": "none"}],
      "tolerations": [{"operator": "Exists"}]}}' "$3" "$i" "$2" "$i"
  done
}

# Makes them, and runs the pods as far as the API server knows.
fleet_of() {
  kubectl create namespace "$2" >/dev/null
  # No pod may come before the account that it runs as.
  until kubectl -n "$2" get serviceaccount default >/dev/null 2>&1; do sleep 0.2; done
  fleet_objects "$@" | kubectl create -f - >/dev/null
  kubectl proxy --port=9106 >/dev/null &
  local proxy=$!
  until curl -sf http://127.0.0.1:9106/version >/dev/null; do sleep 0.2; done
  seq 0 $(($1 - 1)) | xargs -P 8 -I @ curl -sS -f -o "$fleet/@" -X PATCH -H 'Content-Type: application/merge-patch+json' \
    -d '{"status": {"phase": "Running"}}' "http://127.0.0.1:9106/api/v1/namespaces/$2/pods/$3-@/status"
  kill $proxy
}

# What a real exporter tells.
kubectl -n guard-system port-forward daemonset/guard-exporter 9105:9466 >/dev/null &
forward=$!
until curl -sf -H 'Host: localhost' http://127.0.0.1:9105/v1/report >"$fleet/report.json"; do sleep 0.2; done
kill $forward
fleet_of 500 fleet exporter
kubectl -n fleet get pods --no-headers \
  -o custom-columns=:metadata.namespace,:metadata.name,:metadata.uid,:spec.nodeName >"$fleet/pods"
"$built/guard-kubelets" 127.0.0.1:9107 "$fleet/report.json" "$fleet/pods" &
fleet_kubelets=$!
# It makes all reports first.
until (exec 3<>/dev/tcp/127.0.0.1/9107) 2>/dev/null; do kill -0 "$fleet_kubelets"; sleep 0.2; done
by_exporters() { kubectl-guard status -n fleet --guard-namespace fleet --all; }
[ "$(by_exporters 2>"$fleet/told" | grep -c ^exporter-)" = 500 ] && ! grep 'no scores' "$fleet/told" ||
  { by_exporters | head -n 5 >&2; head -n 5 "$fleet/told" >&2; exit 1; }
row '`status` by the exporters of 500 nodes, 15,000 pods' "$(seconds by_exporters) s, $(memory kubectl-guard status -n fleet \
  --guard-namespace fleet --all) MiB" '-' 'port-forwards through a real API server, 32 at once; `guard-kubelets` answers with what a real exporter told'
kill "$fleet_kubelets"
kubectl delete namespace fleet --wait=false >/dev/null
kubectl delete pods -n fleet --all --force --grace-period=0 >/dev/null 2>&1
kubectl delete nodes --wait=false $(seq -f fleet-%g 0 499) >/dev/null

# What 5,000 exporters say, as one page: each has 30 pods.
fleet_page() {
  awk -v now="$(date +%s)" 'BEGIN {
    srand(1)
    split("ok anomalous learning stale muted", states, " ")
    for (n = 0; n < 5000; n++) {
      node = sprintf("node=\"fleet-%d\"", n)
      printf "guard_exporter_build_info{%s,version=\"0.1.0\"} 1\nguard_score_threshold{%s} 0.7\nguard_tick_interval_seconds{%s} 15\n", node, node, node
      printf "guard_model_loaded{%s} 1\nguard_kubelet_up{%s} 1\nguard_kubelet_tls_verified{%s} 1\n", node, node, node
      printf "guard_last_sample_timestamp_seconds{%s} %d\n", node, now
      for (p = 0; p < 30; p++) {
        over = p == 0 && n < 50
        pod = sprintf("namespace=\"%s\",pod=\"%s\",%s", over ? "worst" : "shop-" n % 100, over ? "worst-" n : "web-" n "-" p, node)
        printf "guard_pod_anomaly_score{%s} %.4f\n", pod, over ? 0.8 + rand() / 5 : rand() / 2
        if (over) {
          printf "guard_pod_anomaly_since_timestamp_seconds{%s} %d\n", pod, now - 60
          printf "guard_pod_feature_seen{%s,feature=\"cpu_cores\"} 0.9\nguard_pod_feature_expected{%s,feature=\"cpu_cores\"} 0.1\n", pod, pod
          printf "guard_pod_feature_deviation{%s,feature=\"cpu_cores\"} 8\n", pod
        }
        for (s in states) printf "guard_pod_state{%s,state=\"%s\"} %d\n", pod, states[s], states[s] == (over ? "anomalous" : "ok")
      }
    }
  }'
}

fleet_of 50 worst worst
fleet_page >"$fleet/served/metrics.txt"
busybox httpd -f -p 127.0.0.1:9108 -h "$fleet/served" &
fleet_httpd=$!
cat >"$fleet/prometheus.yml" <<'CONFIG'
scrape_configs:
  - job_name: guard-exporter
    honor_labels: true
    metrics_path: /metrics.txt
    scrape_interval: 60s
    scrape_timeout: 50s
    static_configs: [{targets: ["127.0.0.1:9108"]}]
CONFIG
prometheus --config.file="$fleet/prometheus.yml" --storage.tsdb.path="$fleet/data" --web.listen-address=127.0.0.1:9109 >"$fleet/log" 2>&1 &
fleet_prometheus=$!
asked_of_fleet() { curl -sf -G http://127.0.0.1:9109/api/v1/query --data-urlencode "query=$1"; }
until asked_of_fleet 'count(guard_pod_anomaly_score)' | grep -q '"150000"'; do
  kill -0 "$fleet_prometheus" || { cat "$fleet/log" >&2; exit 1; }
  sleep 1
done
top() { asked_of_fleet 'topk(50, guard_pod_anomaly_score)'; }
worst() { kubectl-guard status -A --source prometheus --prometheus-url http://127.0.0.1:9109 --limit 50; }
[ "$(worst 2>/dev/null | grep -c '^worst ')" = 50 ] || { worst >&2; exit 1; }
beside worst -- top
row '`status -A --source prometheus --limit 50`, 150,000 pods on 5,000 nodes' "$ours s, $(memory kubectl-guard status -A \
  --source prometheus --prometheus-url http://127.0.0.1:9109 --limit 50) MiB" "$theirs s" \
  '`curl` of `topk(50, guard_pod_anomaly_score)`, of the same Prometheus; ours also counts, reads reasons and the 50 pods'
kill "$fleet_prometheus" "$fleet_httpd"
