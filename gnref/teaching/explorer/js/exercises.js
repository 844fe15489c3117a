/* The two exercises: an answer, and what is said to it. */

import { whole } from "./state.js";
import {
  cellAt, cellCount, divisors, indexOf, NORMS, others, range, setCount, setOf, setSize, weightMates,
} from "./sets.js";
import { count, countRule, rule, setInWords, tuple } from "./words.js";

/** Mark every cell that shares the mean of the picked one: what is missing, what is too many, and why. */
export function checkMarks(s, marks) {
  if (!marks.size) return { right: false, missing: [], extra: [], text: "Nothing is marked yet." };
  const i = indexOf(s, s.cell);
  const set = setOf(s, i);
  const missing = set.filter((j) => !marks.has(j));
  const extra = [...marks].filter((j) => !set.includes(j)).sort((a, b) => a - b);
  const right = !missing.length && !extra.length;
  const wrong = [some(s, "Missing", missing), some(s, "Too many", extra), mistake(s, i, marks)];
  const text = right ? `Right: ${setInWords(s, i)}. ${rule(s)}` : wrong.filter(Boolean).join(" ");
  return { right, missing, extra, text };
}

/** The first few cells, and how many there are; nothing of none. */
function some(s, what, cells) {
  const more = cells.length > 3 ? ", …" : "";
  const first = cells.slice(0, 3).map((j) => tuple(s, j)).join(", ");
  return cells.length ? `${what}: ${count(cells.length, "cell")}, ${first}${more}.` : "";
}

/** The misunderstanding that explains the marks exactly, if one does. */
function mistake(s, i, marks) {
  const is = (cells) => cells.length === marks.size && cells.every((j) => marks.has(j));
  const [n, c] = cellAt(s, i);
  if (is(range(cellCount(s)))) return "You marked the whole block.";
  const norm = others(s.norm).find((k) => is(setOf({ ...s, norm: k }, i)));
  if (norm) return `You marked the set of ${NORMS[norm].name}.`;
  const strided = range(cellCount(s)).filter((j) => cellAt(s, j)[0] === n && cellAt(s, j)[1] % s.g === c % s.g);
  if (s.norm === "gn" && is(strided)) return "The channels of a group are neighbours: group c // K, not c % G.";
  return is(weightMates(s, i)) ? "These cells share the weight, not the mean." : "";
}

/** How many means are there? */
export function checkCount(s, answer) {
  const v = whole(answer);
  if (Number.isNaN(v)) return { right: false, text: "Write a whole number." };
  const because = `There is one mean for ${NORMS[s.norm].per}`;
  if (v === setCount(s)) return { right: true, text: `Right. ${because}: ${countRule(s)}.` };
  const norm = others(s.norm).find((k) => setCount({ ...s, norm: k }) === v);
  let hint = "";
  if (v === setSize(s)) hint = ` ${v} is m, the number of cells that share one mean.`;
  else if (norm) hint = ` ${v} would be right for ${NORMS[norm].name}.`;
  return { right: false, text: `Not ${v}.${hint} ${because}.` };
}

const any = (list) => list[Math.floor(Math.random() * list.length)];

/** A state that is worth a question. */
export function randomQuestion() {
  const s = { norm: any(Object.keys(NORMS)), n: any([2, 3]), c: any([4, 6]), h: any([1, 2]), w: 2 };
  return { ...s, g: any(divisors(s.c).slice(1, -1)), cell: cellAt(s, any(range(cellCount(s)))) };
}
