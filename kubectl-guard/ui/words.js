// Figures as people read them, as the command line writes them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

function bytes(value) {
  let unit = 0;
  while (value >= 999.5 && unit + 1 < UNITS.length) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit > 0 && value < 9.95 ? 1 : 0)} ${UNITS[unit]}`;
}

/** A value of a feature by its unit; what is not known is a dash. */
export function figure(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "cores") return value < 9.9995 ? `${Math.round(value * 1000)}m` : value.toFixed(1);
  if (unit === "bytes") return bytes(value);
  if (unit === "bytes_per_second") return `${bytes(value)}/s`;
  return Number(value.toPrecision(3)).toLocaleString("en");
}

/** A score, or a dash. */
export function score(value) {
  return value === null ? "–" : value.toFixed(2);
}

/** How long it is from one time to another, as kubectl writes ages. */
export function age(from, to) {
  const s = Math.max(0, Math.round((new Date(to) - new Date(from)) / 1000));
  if (s < 120) return `${s}s`;
  if (s < 7200) return `${Math.floor(s / 60)}m`;
  if (s < 172800) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86400)}d`;
}

/** `3 pods`, `1 pod`. */
export function count(n, what) {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
