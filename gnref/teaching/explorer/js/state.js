/* A state is what an address or a widget holds: from there, checked, and back. */

import { divisors, LIMITS, NORMS } from "./sets.js";

export const AXES = ["n", "c", "h", "w"];
export const CHOICES = { view: ["block", "slices"], show: ["mean", "weight", "dx"], task: ["", "mark", "count"] };
export const DEFAULTS = {
  norm: "gn", n: 2, c: 6, h: 2, w: 2, g: 3, cell: [0, 0, 0, 0], view: "block", show: "mean", task: "",
};

export const whole = (v) => (/^\d+$/.test(String(v).trim()) ? Number(v) : NaN);
const quote = (v) => `“${String(v).slice(0, 20)}”`;

/** The nearest state that can be drawn, and a sentence for each thing that could not be taken. */
export function clean(raw, sayCell = true) {
  const notes = [];
  const s = { norm: choose("norm", raw.norm, Object.keys(NORMS), notes) };
  for (const axis of AXES) s[axis] = size(axis, raw[axis], notes);
  s.g = groupsFor(raw.g, s, notes);
  s.cell = inside(raw.cell, s, sayCell ? notes : []);
  for (const key in CHOICES) s[key] = choose(key, raw[key], CHOICES[key], notes);
  return { state: s, notes };
}

function choose(key, value, known, notes) {
  if (value === undefined || known.includes(value)) return value ?? DEFAULTS[key];
  notes.push(`${key} is ${quote(value)}; expected one of ${known.filter(Boolean).join(", ")}.`);
  return DEFAULTS[key];
}

function size(axis, value = DEFAULTS[axis], notes) {
  const v = whole(value);
  if (v >= 1 && v <= LIMITS[axis]) return v;
  const taken = v > LIMITS[axis] ? LIMITS[axis] : DEFAULTS[axis];
  const name = axis.toUpperCase();
  notes.push(`${name} is ${quote(value)}; expected 1 to ${LIMITS[axis]}. The picture has ${name} = ${taken}.`);
  return taken;
}

function groupsFor(value, s, notes) {
  const known = divisors(s.c);
  const v = whole(value ?? DEFAULTS.g);
  if (known.includes(v)) return v;
  const taken = known.reduce((a, b) => (Math.abs(b - v) <= Math.abs(a - v) ? b : a));
  // Only GroupNorm has a G, and nobody asked for the default: then there is nothing to tell.
  if (s.norm === "gn" && value !== undefined) {
    notes.push(`G is ${quote(value)}; expected a divisor of C = ${s.c}, one of ${known.join(", ")}. ` +
      `The picture has G = ${taken}.`);
  }
  return taken;
}

function inside(value = DEFAULTS.cell, s, notes) {
  const given = Array.isArray(value) ? value.map(whole) : [];
  const cell = AXES.map((axis, k) => Math.min(given[k] || 0, s[axis] - 1));
  if (given.length !== 4 || cell.some((v, k) => v !== given[k])) {
    notes.push(`There is no cell ${quote(value)} in this block; the picture has (${cell.join(", ")}).`);
  }
  return cell;
}

/** The state of an address: "?norm=gn&n=2&c=6&h=2&w=2&g=3&cell=0,2,1,0". What it leaves out is as in absent. */
export function parseState(query, absent = {}) {
  const raw = Object.fromEntries(new URLSearchParams(query));
  if (raw.cell !== undefined) raw.cell = raw.cell.split(",");
  // What is absent follows the sizes of the address, and there is nothing to tell about it.
  return clean({ ...clean({ ...absent, ...raw }).state, ...raw });
}

/** The address of a state, without the question mark; view, show and task only if they were changed. */
export const formatState = (s) => Object.keys(DEFAULTS)
  .filter((key) => !(key in CHOICES) || s[key] !== DEFAULTS[key])
  .map((key) => `${key}=${s[key]}`).join("&");

/** Put the state into the page's address, and keep what else it says. */
export function writeAddress(s) {
  const rest = [...new URLSearchParams(location.search)].filter(([key]) => !(key in DEFAULTS));
  const query = [formatState(s), new URLSearchParams(rest)].filter(String).join("&");
  try {
    history.replaceState(history.state, "", `?${query}${location.hash}`);
  } catch {
    // A page without an address of its own, as in a frame of a notebook.
  }
}
