// What may be approved: the proposals, a plan with its confirmation, what is carried out, and what was done.

import { el, table, tell } from "/dom.js";
import { age, score } from "/words.js";

const target = (namespace, name) => (namespace === "" ? name : `${name} in ${namespace}`);
const time = (at) => new Date(at).toLocaleTimeString();

/** Where the plan for a target is, such as `deployment/cart`; a node has no namespace. `by` says who proposes it, such as `agent tom`. */
export function planLink(namespace, name, by = "guard") {
  const agent = by.startsWith("agent ") ? ["by", by.slice("agent ".length)] : [];
  return `#/plan/${[namespace === "" ? "-" : namespace, ...name.split("/"), ...agent].map(encodeURIComponent).join("/")}`;
}

/** What waits for somebody's word. */
export function proposals(desk, at) {
  if (desk === null || desk.items.length === 0) return null;
  const rows = desk.items.map((item) => ({
    mark: "over",
    cells: [
      el("a", { href: planLink(item.namespace, item.target, item.by) }, item.action),
      score(item.score),
      item.namespace,
      `${age(item.at, at)} ago`,
      item.by,
      item.reason ?? "",
    ],
  }));
  const caption = desk.readOnly === null ? "Proposals that wait for a person" : "Proposals";
  return table(caption, ["Proposal", "Score", "Namespace", "Since", "By", "Reason"], rows);
}

/** A plan, as `fix` shows it, with the confirmation below it. */
export function plan({ plan, nothing, readOnly }, ui) {
  const again = el("button", { type: "button", onclick: () => ui.again() }, "Look again");
  if (plan === null) {
    return [el("h2", {}, "No plan"), el("p", { role: "status" }, nothing), again];
  }
  const facts = [
    ["Target", target(plan.namespace, plan.target)],
    ["Context", plan.context],
    ["Cluster", `${plan.cluster} (${plan.server})`],
    ["As", plan.identity],
    ["Good until", time(plan.expires)],
  ];
  return [
    el("h2", {}, plan.action),
    el("p", {}, plan.score === null ? "On a person's word: there is no score." : `Score ${score(plan.score)}. `, plan.reasons.join("; ")),
    list(facts),
    el("h3", {}, "What would be done"),
    ...steps(plan.steps),
    plan.advice.length > 0 ? el("ul", {}, plan.advice.map((line) => el("li", {}, line))) : null,
    rails(plan.rails),
    confirmation(plan, readOnly, ui, again),
    el("details", {}, el("summary", {}, "As the command line shows it"), el("pre", {}, plan.text)),
  ].filter((part) => part !== null);
}

function list(facts) {
  return el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** Steps that change fields are shown in full; a drain ends many pods, which are a table. */
function steps(all) {
  const full = all.filter((step) => step.diff.length > 0);
  const short = all.filter((step) => step.diff.length === 0);
  const words = (step) => ({ allowed: "you may", denied: `you may not: ${step.why}`, unasked: "not asked" })[step.verdict];
  const shown = full.map((step) =>
    el("div", { class: "step" },
      el("h4", {}, `${step.action}${step.place}`),
      el("pre", { class: "diff", tabindex: "0", "aria-label": `Changes of ${step.action}` }, step.diff.map(changed)),
      list([["Only if", step.onlyIf.join(", ")], ["Needs", `${step.needs} (${words(step)})`], ["Afterwards", step.undo]])));
  if (short.length === 0) return shown;
  const rows = short.map((step) => ({ mark: null, cells: [`${step.action}${step.place}`, words(step), step.undo] }));
  return [...shown, prose(full.length > 0 ? "And then" : "Steps", ["Step", "Right", "Afterwards"], rows)];
}

/** A table whose cells hold sentences. */
function prose(caption, titles, rows) {
  return el("div", { class: "prose" }, table(caption, titles, rows));
}

function changed(line) {
  const kind = { "+": "added", "-": "taken" }[line[0]] ?? null;
  return el("span", { class: kind }, `${line}\n`);
}

function rails(all) {
  const words = { held: "held", overridden: "overridden", refused: "refused" };
  const rows = all.map((rail) => ({ mark: rail.state === "held" ? null : "over", cells: [rail.name, words[rail.state], rail.detail] }));
  return prose("Guard rails", ["Guard rail", "State", "Finding"], rows);
}

function confirmation(plan, readOnly, ui, again) {
  const blocked = readOnly ?? plan.blocked;
  if (blocked !== null) {
    return el("section", { class: "confirm", "aria-label": "Approval" }, el("p", { class: "blocked" }, `It cannot be approved: ${blocked}.`), again);
  }
  const said = el("p", { id: "said", role: "alert" });
  const approve = el("button", { type: "submit", disabled: "" }, "Approve");
  const name = el("input", {
    id: "typed", type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", "aria-describedby": "consequence",
    oninput: () => { approve.disabled = name.value !== plan.name; },
  });
  const waits = ui.desk?.items.some((item) => item.namespace === plan.namespace && item.target === plan.of) ?? false;
  const decline = el("button", { type: "button", onclick: () => send(() => ui.decline({ digest: plan.digest, name: plan.name })) }, "Decline");
  const all = [name, approve, decline, again];
  /** One decision at a time; what the server says against it stays to be read. */
  async function send(decide) {
    said.textContent = "";
    all.forEach((each) => { each.disabled = true; });
    try {
      await decide();
      name.value = "";
    } catch (error) {
      said.textContent = error.message;
    }
    all.forEach((each) => { each.disabled = false; });
    approve.disabled = name.value !== plan.name;
    if (said.textContent !== "") name.focus();
  }
  const submit = (event) => {
    event.preventDefault();
    if (name.value === plan.name) send(() => ui.approve({ digest: plan.digest, name: name.value }));
  };
  return el("form", { class: "confirm", "aria-label": "Approval", onsubmit: submit },
    el("p", { id: "consequence" },
      el("strong", {}, plan.action), `, in context ${plan.context} as ${plan.identity}. `,
      plan.steps[0] ? `It ${plan.steps[0].undo}.` : ""),
    el("label", { for: "typed" }, "Type ", el("code", {}, plan.name), " to approve"),
    el("div", { class: "buttons" }, name, approve, waits ? decline : null, again),
    said);
}

/** What is carried out, on every view, until the next one; drawn only where it has changed. */
export function banner(place, job) {
  place.hidden = job === null;
  if (job === null) return;
  const now = JSON.stringify(job);
  if (place.dataset.drawn === now) return;
  const first = place.dataset.digest !== `${job.digest} ${job.began}`;
  if (first) {
    place.replaceChildren(
      el("h2", {}, target(job.namespace, job.action)),
      el("p", { id: "outcome", role: "status" }),
      el("ol", { id: "lines", role: "log", "aria-label": "What happens" }));
  }
  Object.assign(place.dataset, { drawn: now, digest: `${job.digest} ${job.began}`, outcome: job.ended?.outcome ?? "running" });
  const lines = place.querySelector("#lines");
  // Only what is new is added: a log that is made anew is read out anew, from its beginning. The server drops the oldest lines.
  const known = lines.start - 1 + lines.children.length;
  lines.append(...job.lines.slice(Math.max(0, known - job.dropped)).map((line) => el("li", {}, line)));
  while (lines.children.length > job.lines.length) lines.firstElementChild.remove();
  lines.start = job.dropped + 1;
  const outcome = job.ended === null ? "It is being carried out. Closing this page does not stop it." : `${word(job.ended)} (${time(job.ended.at)})`;
  tell(place.querySelector("#outcome"), outcome);
}

function word({ outcome, words }) {
  const [first, ...rest] = words;
  const plain = `${first.toUpperCase()}${rest.join("")}`;
  return outcome === "done" || plain.endsWith(".") ? plain : `${plain}.`;
}

/** What was done from this machine, the latest first. */
export function history(data) {
  const title = el("h2", {}, "History");
  if (data.items.length === 0) return [title, el("p", {}, "Nothing was done yet from this machine.")];
  const good = (item) => item.outcome === "done" && item.verified !== "worse";
  const rows = data.items.map((item) => ({
    mark: good(item) ? null : "over",
    cells: [
      `${item.action} ${item.target}`,
      item.outcome,
      item.verified ?? "–",
      new Date(item.at).toLocaleString(),
      item.namespace,
      item.context,
      `${item.identity}, ${item.approved}`,
      item.id,
    ],
  }));
  const caption = `What was done, the latest first (${data.items.length} of ${data.of})`;
  return [title, table(caption, ["Action", "Outcome", "Verified", "When", "Namespace", "Context", "By", "Plan"], rows)];
}
