// Asks again and again, and draws the view that the address names.

import { ROWS, fleet, pod, workload } from "/views.js";

const EVERY_MS = 5000;
const view = document.getElementById("view");
const summary = document.getElementById("summary");
const warnings = document.getElementById("warnings");

const state = { path: null, etag: null, data: null, filter: "", shown: ROWS, timer: null };
const ui = {
  get filter() { return state.filter; },
  get shown() { return state.shown; },
  setFilter(text) { state.filter = text; state.shown = ROWS; draw(); },
  more() { state.shown += ROWS; draw(); },
};

/** `#/pod/shop/cart-0` as ["pod", "shop", "cart-0"]. */
function place() {
  return location.hash.replace(/^#\//, "").split("/").filter((part) => part !== "").map(decodeURIComponent);
}

function path([kind, namespace, name]) {
  return kind === "pod" ? `/api/pod/${namespace}/${name}` : "/api/fleet";
}

function draw() {
  if (state.data === null) return;
  const [kind, namespace, name] = place();
  const focused = document.activeElement?.id;
  const caret = focused === "filter" ? document.activeElement.selectionStart : null;
  if (kind === "pod") view.replaceChildren(...pod(state.data));
  else if (kind === "workload") view.replaceChildren(...workload(state.data, namespace, name, ui));
  else view.replaceChildren(...fleet(state.data, ui));
  // What was typed into goes on being typed into.
  if (focused === "filter") {
    const again = document.getElementById("filter");
    again?.focus();
    again?.setSelectionRange(caret, caret);
  }
}

function say(data) {
  const text = data.recorded ? " in a recorded incident" : "";
  summary.textContent = `${data.counts.anomalous} of ${data.counts.watched} pods over their line${text}, ${new Date(data.at).toLocaleTimeString()}`;
  const told = data.warnings ?? [];
  warnings.hidden = told.length === 0;
  warnings.textContent = told.join("; ");
}

async function look() {
  clearTimeout(state.timer);
  const wanted = path(place());
  if (wanted !== state.path) Object.assign(state, { path: wanted, etag: null });
  try {
    const answer = await fetch(wanted, { headers: state.etag ? { "if-none-match": state.etag } : {} });
    if (wanted !== path(place())) return;
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(answer.status === 404 ? "it is not there any more" : await answer.text());
      state.etag = answer.headers.get("etag");
      state.data = await answer.json();
      say(state.data);
      draw();
    }
  } catch (error) {
    warnings.hidden = false;
    warnings.textContent = `What is shown is old: ${error.message}`;
    state.etag = null;
  }
  state.timer = setTimeout(look, EVERY_MS);
}

window.addEventListener("hashchange", () => {
  state.shown = ROWS;
  state.data = null;
  look().then(() => view.focus());
});
look();
