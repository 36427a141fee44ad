// Elements from data. All text of the cluster goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`class`, `href`, ...; null leaves one out) and children (elements or text). */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** Sets the text of a live region, and only where it differs: a screen reader says it each time that it is set. */
export function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A table with a caption; each row is a list of cells, the first of which names the row. Roles and titles stand beside the
 * elements, for on a narrow screen its cells stand below each other.
 */
export function table(caption, titles, rows) {
  const head = el("tr", { role: "row" }, titles.map((title) => el("th", { role: "columnheader", scope: "col" }, title)));
  const cell = (content, i) =>
    i === 0
      ? el("th", { role: "rowheader", scope: "row" }, content)
      : el("td", { role: "cell", "data-title": titles[i] }, content);
  const line = ({ cells, mark }) => el("tr", { role: "row", class: mark }, cells.map(cell));
  return el("div", { class: "wide" },
    el("table", { role: "table" },
      el("caption", {}, caption),
      el("thead", { role: "rowgroup" }, head),
      el("tbody", { role: "rowgroup" }, rows.map(line))));
}
