// Asks again and again, and draws the view that the address names.

import { banner, history, plan } from "/desk.js";
import { outdated, say, silence } from "/header.js";
import { enter, post, reader } from "/net.js";
import { ROWS, fleet, pod, workload } from "/views.js";

const EVERY_MS = 5000;
const EVERY_MS_AT_WORK = 1000;
const view = document.getElementById("view");
const told = document.getElementById("told");
const job = document.getElementById("job");

const state = { data: null, desk: null, filter: "", shown: ROWS, timer: null };
const readers = { data: reader(), desk: reader() };
const ui = {
  get filter() { return state.filter; },
  get shown() { return state.shown; },
  get desk() { return state.desk; },
  get recorded() { return state.data?.recorded === true; },
  setFilter(text) { state.filter = text; state.shown = ROWS; draw(); },
  more() { state.shown += ROWS; draw(); },
  again() { state.data = null; readers.data = reader(); told.textContent = ""; look().then(() => view.focus()); },
  /** Sends a decision; true if it was heeded. What it says otherwise is for the view. */
  async approve(word) {
    await post("/api/approve", word);
    await look();
    job.focus();
  },
  async decline(word) {
    await post("/api/decline", word);
    told.textContent = "Declined: it is not proposed again until it has recovered and returns.";
    location.hash = "#/";
  },
};

/** `#/pod/shop/cart-0` as ["pod", "shop", "cart-0"]. */
function place() {
  return location.hash.replace(/^#\//, "").split("/").filter((part) => part !== "").map(decodeURIComponent);
}

function path([kind, namespace, name, ...rest]) {
  if (kind === "pod") return `/api/pod/${namespace}/${name}`;
  if (kind === "plan") return `/api/plan/${[namespace, name, ...rest].join("/")}`;
  return kind === "history" ? "/api/history" : "/api/fleet";
}

function draw() {
  if (state.data === null) return;
  const [kind, namespace, name] = place();
  const focused = hold();
  if (kind === "pod") view.replaceChildren(...pod(state.data, ui));
  else if (kind === "workload") view.replaceChildren(...workload(state.data, namespace, name, ui));
  else if (kind === "plan") view.replaceChildren(...plan(state.data, ui));
  else if (kind === "history") view.replaceChildren(...history(state.data));
  else view.replaceChildren(...fleet(state.data, ui));
  focused();
}

/** Whoever types, or walks through the links with the keyboard, stays where they are: what puts the focus back. */
function hold() {
  const active = document.activeElement;
  if (active === null || !view.contains(active) || active === view) return () => {};
  const { id, selectionStart: caret } = active;
  const known = mark(active);
  return () => {
    const again = id !== "" ? document.getElementById(id) : [...view.querySelectorAll("a")].find((link) => mark(link) === known);
    // Where it was can be gone. The view is nearer to it than the top of the page, where a browser would begin again.
    (again ?? view).focus({ preventScroll: true });
    if (id === "filter") again?.setSelectionRange(caret, caret);
  };
}

/** Tells a link from all others: many rows link to the same workload, and each row has a title of its own. */
function mark(link) {
  return `${link.closest("tr")?.cells[0].textContent ?? ""} ${link.getAttribute("href")}`;
}

async function look() {
  clearTimeout(state.timer);
  const wanted = path(place());
  const isPlan = place()[0] === "plan";
  try {
    const desk = await readers.desk("/api/proposals");
    if (desk !== null) {
      state.desk = desk;
      banner(job, desk.job);
    }
    // A plan is made once, and stands still while somebody reads it and types.
    if (isPlan && state.data === null) view.replaceChildren(waiting());
    const data = isPlan && state.data !== null ? null : await readers.data(wanted);
    if (wanted !== path(place())) return;
    if (data !== null) {
      state.data = data;
      say(data);
    }
    if (data !== null || (desk !== null && !isPlan)) draw();
    outdated(null);
  } catch (error) {
    if (wanted !== path(place())) return;
    fail(error, isPlan);
  }
  const busy = state.desk?.job && state.desk.job.ended === null;
  clearTimeout(state.timer);
  state.timer = setTimeout(look, busy ? EVERY_MS_AT_WORK : EVERY_MS);
}

function waiting() {
  const p = document.createElement("p");
  p.textContent = "Making the plan: scores, facts and guard rails are read now…";
  return p;
}

function fail(error, isPlan) {
  if (isPlan && state.data === null) {
    // The refusal is the answer, and is not asked for again.
    state.data = { nothing: error.message, plan: null };
    draw();
    return;
  }
  outdated(error.message);
}

function outside() {
  silence();
  const p = document.createElement("p");
  p.textContent = "Nothing is shown in this tab: it did not come in by the URL that was printed. Go on in the tab that did, or end kubectl guard and start it again for a new URL.";
  view.replaceChildren(p);
}

if (enter()) {
  window.addEventListener("hashchange", () => {
    state.shown = ROWS;
    state.data = null;
    readers.data = reader();
    look().then(() => view.focus());
  });
  look();
} else {
  outside();
}
