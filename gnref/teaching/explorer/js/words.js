/* What the page says: plain sentences and lines of NumPy. */

import { cellAt, NORMS, others, setCount, setNumber, setOf } from "./sets.js";

const list = (a) => (a.length > 1 ? `${a.slice(0, -1).join(", ")} and ${a.at(-1)}` : `${a[0]}`);
export const count = (k, noun) => `${k} ${noun}${k === 1 ? "" : "s"}`;
export const number = (v, digits = 4) => (Math.abs(v) < 0.5 * 10 ** -digits ? 0 : v).toFixed(digits).replace("-", "−");
export const tuple = (s, i) => `(${cellAt(s, i).join(", ")})`;
/** The same after an operator. */
export const term = (v) => number(v).replace(/^−.*/, "($&)");
export const title = (s) => NORMS[s.norm].name + (s.norm === "gn" ? `, G = ${s.g}` : "");

/** "N × G = 2 × 3 = 6": how many means there are, and why. */
export function countRule(s) {
  const { many } = NORMS[s.norm];
  const sizes = many.map((name) => s[name.toLowerCase()]);
  return `${many.join(" × ")} = ${sizes.join(" × ")}${many.length > 1 ? ` = ${setCount(s)}` : ""}`;
}

/** Who shares statistics, and who a weight. */
export function rule(s) {
  const { over, per, elementwise } = NORMS[s.norm];
  const weights = elementwise
    ? `a weight for each element, C × H × W = ${s.c * s.h * s.w} (the paper’s: one for each channel)`
    : `a weight for each channel, C = ${s.c}${s.norm === "ln" ? " (PyTorch’s: one for each element)" : ""}`;
  return `Statistics over ${over}: one mean for ${per}, ${countRule(s)}; ${weights}.`;
}

/** The norms that divide this block into the same sets, in a sentence; or nothing. */
export function alike(s) {
  const key = (norm) => `${NORMS[norm].groups(s)},${Boolean(NORMS[norm].poolsN) && s.n > 1}`;
  const same = others(s.norm).filter((norm) => key(norm) === key(s.norm)).map((norm) => NORMS[norm].name);
  return same.length ? `These are also the sets of ${list(same)}.` : "";
}

/** The set of cell i in words. */
export function setInWords(s, i) {
  const [n, c] = cellAt(s, i);
  const channels = [...new Set(setOf(s, i).map((j) => cellAt(s, j)[1]))];
  if (NORMS[s.norm].poolsN) return `channel ${c} of every example, all H and W`;
  if (channels.length === s.c) return `example ${n}, all C, H and W`;
  const group = s.norm === "gn" ? `group ${setNumber(s, i) % s.g}: ` : "";
  return `example ${n}, ${group}channel${channels.length > 1 ? "s" : ""} ${list(channels)}, all H and W`;
}

/** The line of NumPy that gives the mean of cell i's set. */
export function numpyLine(s, i) {
  const [n, c] = cellAt(s, i);
  const K = s.c / s.g;
  return {
    bn: `x.mean(axis=(0, 2, 3))[${c}]`,
    in: `x.mean(axis=(2, 3))[${n}, ${c}]`,
    gn: `x.reshape(${s.n}, ${s.g}, ${K}, ${s.h}, ${s.w}).mean(axis=(2, 3, 4))[${n}, ${Math.floor(c / K)}]`,
  }[s.norm] ?? `x.mean(axis=(1, 2, 3))[${n}]`;
}

/** The call of gnref that does all of it. */
export const gnrefLine = (s) => ({
  bn: "gnref.batch_norm(x, weight, bias)",
  ln: "gnref.group_norm(x, 1, weight, bias)",
  in: "gnref.instance_norm(x, weight, bias)",
  gn: `gnref.group_norm(x, ${s.g}, weight, bias)`,
  "ln-pytorch": `gnref.layer_norm(x, (${s.c}, ${s.h}, ${s.w}), weight, bias)`,
})[s.norm];
