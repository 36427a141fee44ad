// What is shown: the fleet, a workload, a pod. Each view is made anew from the latest answer.

import { chart } from "/chart.js";
import { planLink, proposals } from "/desk.js";
import { el, table } from "/dom.js";
import { age, count, figure, score } from "/words.js";

/** Rows that are shown at once: a browser draws thousands slowly, and nobody reads them. */
const ROWS = 200;
const FEATURES = [
  ["cpu", "CPU", "cores"],
  ["memory", "Memory", "bytes"],
  ["receive", "Received", "bytes_per_second"],
  ["transmit", "Sent", "bytes_per_second"],
];

const podLink = (namespace, name) => `#/pod/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
const workloadLink = (namespace, name) => `#/workload/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
const reason = (row) => (row.reasons.length > 0 ? row.reasons[0].text : (row.note ?? ""));

function badge(state, severity) {
  const word = state === "anomalous" ? severity : (state ?? "no score");
  return el("span", { class: `badge ${word.replace(" ", "-")}` }, word);
}

function podRow(row, at) {
  const owner = row.workload ?? `Pod/${row.name}`;
  return {
    mark: row.state === "anomalous" ? "over" : null,
    cells: [
      el("a", { href: podLink(row.namespace, row.name) }, row.name),
      score(row.score),
      badge(row.state, row.severity),
      row.since ? age(row.since, at) : "",
      reason(row),
      row.namespace,
      el("a", { href: workloadLink(row.namespace, owner) }, owner),
      row.node ?? "",
    ],
  };
}

const POD_TITLES = ["Pod", "Score", "State", "Since", "Reason", "Namespace", "Workload", "Node"];

function pods(caption, rows, at, shown, more) {
  const drawn = table(caption, POD_TITLES, rows.slice(0, shown).map((row) => podRow(row, at)));
  if (rows.length <= shown) return drawn;
  const next = Math.min(ROWS, rows.length - shown);
  return el("div", {}, drawn, el("button", { id: "more", type: "button", onclick: more }, `Show ${next} more of ${rows.length}`));
}

function incidents(fleet) {
  if (fleet.incidents.length === 0) return null;
  const rows = [...fleet.incidents].reverse().map((incident) => {
    const first = incident.pods[0];
    return {
      mark: "over",
      cells: [
        incident.id,
        `${age(incident.from, fleet.at)} ago`,
        el("a", { href: podLink(first.namespace, first.pod) }, first.pod),
        String(incident.pods.length),
        first.reason,
      ],
    };
  });
  return table("Incidents, the latest first", ["Incident", "Began", "First", "Pods", "Reason"], rows);
}

function groups(caption, title, over, list, link) {
  const worst = list.filter((group) => group.over > 0);
  const rows = worst.map((group) => ({
    mark: "over",
    cells: [link ? el("a", { href: link(group) }, group.name) : group.name, score(group.score), `${group.over} of ${group.of}`],
  }));
  return rows.length === 0 ? null : table(caption, [title, "Score", over], rows);
}

/** All pods, what belongs together, and which workloads and nodes are worst. */
export function fleet(data, ui) {
  const word = ui.filter.toLowerCase();
  const fits = (row) => [row.name, row.namespace, row.workload ?? "", row.node ?? "", row.state ?? ""].some((text) => text.toLowerCase().includes(word));
  const found = word === "" ? data.items : data.items.filter(fits);
  const search = el("input", { type: "search", id: "filter", value: ui.filter, autocomplete: "off", oninput: (event) => ui.setFilter(event.target.value) });
  return [
    proposals(ui.desk, data.at),
    incidents(data),
    el("div", { class: "pair" },
      groups("Workloads over their line", "Workload", "Pods over", data.workloads, (group) => workloadLink(group.namespace ?? "", group.name)),
      groups("Nodes with workloads over their line", "Node", "Workloads over", data.nodes, null)),
    el("p", { class: "search" }, el("label", { for: "filter" }, "Filter by name, namespace, workload, node or state"), search),
    found.length === 0
      ? el("p", {}, data.items.length === 0 ? "There are no pods." : "No pod fits the filter.")
      : pods(`Pods, the worst first (${found.length} of ${data.items.length})`, found, data.at, ui.shown, ui.more),
  ].filter((part) => part !== null);
}

/** The pods of one workload. */
export function workload(data, namespace, name, ui) {
  const own = data.items.filter((row) => row.namespace === namespace && (row.workload ?? `Pod/${row.name}`) === name);
  const title = el("h2", {}, `${name} in ${namespace}`);
  if (own.length === 0) return [title, el("p", {}, "It has no pods.")];
  const over = own.filter((row) => row.state === "anomalous").length;
  return [title, el("p", {}, `${over} of ${count(own.length, "pod")} over the line`), pods("Its pods, the worst first", own, data.at, ui.shown, ui.more)];
}

/** One pod in depth. */
export function pod(data, ui) {
  const { row, report } = data;
  const owner = row.workload ?? `Pod/${row.name}`;
  const facts = [
    ["Workload", el("a", { href: workloadLink(row.namespace, owner) }, owner)],
    ["Node", row.node ?? "none"],
    ["Ready", `${row.containersReady} of ${row.containersTotal} containers`],
    ["Restarts", String(row.restarts)],
    ["Over its line", row.since ? `for ${age(row.since, data.at)}` : "no"],
  ];
  const parts = [
    el("h2", {}, row.name, " ", badge(row.state, row.severity)),
    el("p", {}, `Score ${score(row.score)} in namespace ${row.namespace}. `, row.note ?? ""),
    el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
  ];
  if (row.reasons.length > 0) {
    parts.push(el("h3", {}, "Why"), el("ol", {}, row.reasons.map((each) => el("li", {}, each.text, " ", el("span", { class: "faint" }, score(each.score))))));
  }
  if (row.fix) parts.push(el("p", {}, "May help: ", el("strong", {}, row.fix), ". ", ...help(row, ui)));
  if (report) parts.push(...depth(report, data.threshold));
  return parts;
}

/** What `fix` acts on for a pod: its workload, or the pod alone where nothing rolls it; null where it would refuse. */
function targetOf(row) {
  const [kind, name] = (row.workload ?? "").split("/");
  if (["Deployment", "StatefulSet", "DaemonSet"].includes(kind)) return `${kind.toLowerCase()}/${name}`;
  return ["ReplicaSet", "ReplicationController"].includes(kind) ? `pod/${row.name}` : null;
}

/** Where its plan is, and what to type instead. A recording has no plans. */
function help(row, ui) {
  const target = targetOf(row);
  if (!target) return [];
  const command = el("code", {}, `kubectl guard fix ${target} -n ${row.namespace}`);
  return ui.recorded ? [command] : [el("a", { href: planLink(row.namespace, target) }, "Look at the plan"), ", or: ", command];
}

function depth(report, threshold) {
  const course = (name) => report.history.map((point) => ({ at: point.at, value: point[name] }));
  const seen = report.features.map((feature) => {
    const show = (value) => figure(value, feature.unit);
    const known = feature.expected_low !== null && feature.expected_high !== null;
    const out = known && feature.seen !== null && (feature.seen < feature.expected_low || feature.seen > feature.expected_high);
    return {
      mark: out ? "over" : null,
      cells: [
        feature.name,
        show(feature.seen),
        known ? `${show(feature.expected_low)} to ${show(feature.expected_high)}` : "–",
        el("meter", { min: 0, max: 1, value: feature.share, title: `${Math.round(feature.share * 100)} %` }, `${Math.round(feature.share * 100)} %`),
      ],
    };
  });
  return [
    el("h3", {}, "Over time"),
    el("div", { class: "charts" },
      chart("Score", course("score"), { line: threshold, high: 1, words: score }),
      FEATURES.map(([name, title, unit]) => chart(title, course(name), { words: (value) => figure(value, unit) }))),
    table("Seen against expected", ["Feature", "Seen", "Expected", "Share of the suspicion"], seen),
  ];
}

export { ROWS };
