// Lines over time, as SVG. A chart has a caption that says what it comes to, for whoever does not see it.

import { el, svg } from "/dom.js";

const WIDTH = 320;
const HEIGHT = 72;
const EDGE = 4;

const minutes = (seconds) => `${Math.max(1, Math.round(seconds / 60))} min`;

/** A chart of `points` ({at, value}; a missing value is a gap), from `low` to `high` or to what is seen. */
export function chart(title, points, { line = null, low = 0, high = null, words }) {
  const known = points.filter((point) => point.value !== null && point.value !== undefined);
  const latest = known.length > 0 ? words(known[known.length - 1].value) : "unknown";
  const figure = (legend, course, ...drawn) =>
    el("figure", {},
      el("figcaption", {}, `${title}: `, el("strong", {}, latest), el("span", { class: "faint" }, legend), " ", el("small", { class: "faint" }, course)),
      ...drawn);
  if (known.length < 2) return figure("", "no history yet");
  const from = points[0].at;
  const span = Math.max(1, points[points.length - 1].at - from);
  const top = Math.max(high ?? 0, ...(high === null ? known.map((point) => point.value) : []), line ?? 0) || 1;
  const x = (at) => EDGE + ((at - from) / span) * (WIDTH - 2 * EDGE);
  const y = (value) => HEIGHT - EDGE - ((value - low) / (top - low || 1)) * (HEIGHT - 2 * EDGE);
  const highest = Math.max(...known.map((point) => point.value));
  return figure(
    line === null ? "" : ` (its line: ${words(line)})`,
    `at most ${words(highest)} in the last ${minutes(span)}`,
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} over time` },
      svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: y(low), y2: y(low) }),
      line === null ? null : svg("line", { class: "line", x1: 0, x2: WIDTH, y1: y(line), y2: y(line) }),
      svg("path", { class: "course", d: path(points, x, y) })));
}

/** A path with a gap wherever a value is missing. */
function path(points, x, y) {
  let out = "";
  let pen = false;
  for (const { at, value } of points) {
    if (value === null || value === undefined) {
      pen = false;
      continue;
    }
    out += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  }
  return out;
}
