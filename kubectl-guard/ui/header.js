// The header: whose pods are shown, how many are over their line, when that was, and what is wrong.

import { tell } from "/dom.js";

const place = document.getElementById("place");
const summary = document.getElementById("summary");
const at = document.getElementById("at");
const warnings = document.getElementById("warnings");

const known = { notes: [], failure: null };

/** Says what a document tells of the whole. The history and a plan tell nothing of it, and leave what was said before. */
export function say(data) {
  if (data.counts === undefined) {
    if (at.dateTime === "") silence();
    return;
  }
  const where = data.recorded
    ? "A recorded incident"
    : `Context ${data.context}, ${data.namespace === null ? "all namespaces" : `namespace ${data.namespace}`}`;
  tell(place, where);
  document.title = `${where} – kubectl guard`;
  tell(summary, `${data.counts.anomalous} of ${data.counts.watched} pods over their line`);
  at.dateTime = data.at;
  at.textContent = new Date(data.at).toLocaleTimeString();
  known.notes = data.warnings;
  warn();
}

/** There is no summary. */
export function silence() {
  tell(summary, "");
}

/** Says why there is nothing newer than what is shown; null once there is. */
export function outdated(why) {
  known.failure = why;
  warn();
}

function warn() {
  const all = known.failure === null ? known.notes : [`What is shown is old: ${known.failure}`, ...known.notes];
  warnings.hidden = all.length === 0;
  tell(warnings, all.join("; "));
}
