/* What stands beside the picture: every control set to the state, and everything said in words. */

import { jacobianRow, statistics, valueAt, xhatAt } from "./numbers.js";
import { cellAt, divisors, indexOf, NORMS, weightMates } from "./sets.js";
import { alike, count, gnrefLine, number, numpyLine, rule, setInWords, term, title, tuple } from "./words.js";

/** Set every control to the state. */
export function showControls(root, s) {
  for (const input of root.querySelectorAll("input[type=radio]")) input.checked = s[input.name] === input.value;
  for (const input of root.querySelectorAll("input[type=range]")) {
    input.value = input.nextElementSibling.textContent = s[input.name];
  }
  const select = root.querySelector("select");
  const options = divisors(s.c).map((d) => `<option>${d}</option>`).join("");
  if (select.innerHTML !== options) select.innerHTML = options; // a list that is open stays open
  select.value = s.g;
  select.disabled = s.norm !== "gn";
  for (const id of ["[data-name=show]", "#facts"]) root.querySelector(id).hidden = s.task !== "";
  root.querySelector("#exercise").hidden = s.task === "";
  root.querySelector("#answer").hidden = s.task !== "count";
}

/** Say the rule, the numbers of the picked cell, the question of the exercise. */
export function showFacts(root, s) {
  const i = indexOf(s, s.cell);
  const stats = statistics(s, i);
  const [x, mean, variance] = [number(valueAt(s, i), 2), term(stats.mean), number(stats.var)];
  const texts = {
    "#title": title(s),
    "#rule": question(s, i) ?? `${rule(s)} ${alike(s)}`,
    "#keys": hint(s),
    "#where": `Cell (n, c, h, w) = ${tuple(s, i)}, x = ${number(valueAt(s, i), 2)}. Its set: ${setInWords(s, i)}.`,
    "#xhat": `x̂ = (x − mean) / √(variance + ε) = (${x} − ${mean}) / √(${variance} + 10⁻⁵)`,
    code: `${numpyLine(s, i)}\n${gnrefLine(s)}`,
    "#more": moreOf(s, i, stats),
    summary: `The set as a table, ${count(stats.m, "cell")}`,
    "#live": question(s, i) ?? spoken(s, i, stats),
    "#verdict": "",
  };
  for (const [id, text] of Object.entries(texts)) root.querySelector(id).textContent = text;
  showNumbers(root, s, i, stats);
}

/** The statistics, and every cell of the set. */
function showNumbers(root, s, i, stats) {
  root.querySelector("dl").innerHTML = [["m", stats.m], ["mean", number(stats.mean)],
    ["variance", number(stats.var)], ["x̂", number(xhatAt(s, i, stats))]]
    .map(([name, value]) => `<dt>${name}</dt><dd>${value}</dd>`).join("");
  const row = jacobianRow(s, i);
  const line = (j) => [cellAt(s, j).join(", "), number(valueAt(s, j), 2), number(xhatAt(s, j, stats)), number(row[j])];
  root.querySelector("table").innerHTML = "<tr><th>n, c, h, w<th>x<th>x̂<th>dx of its dy</tr>" + stats.cells
    .map((j) => `<tr${j === i ? " class=picked" : ""}><td>${line(j).join("<td>")}</tr>`).join("");
}

/** What an exercise asks; nothing while exploring. */
export const question = (s, i) => ({
  mark: `Mark every cell that shares the mean of the outlined one, ${tuple(s, i)}: click, drag over slices, ` +
    "or press Space.",
  count: `How many means does it take of N × C × H × W = ${s.n} × ${s.c} × ${s.h} × ${s.w} cells?`,
})[s.task];

/** How to move about in the picture; no cell is picked while the means are being counted. */
export const hint = ({ view, task }) => (task === "count" ? "" : `Click a cell, or use the arrow keys${
  task ? " and Space" : ""}, with Page Up and Page Down along N. `) +
  (view === "block" ? "Drag, or hold Shift with the arrow keys, to turn the block; Home turns it back. " : "") +
  "Pixel (h, w) is number h·W + w from below.";

/** The picture for those who do not see it. */
export const spoken = (s, i, stats) => `${title(s)}, cell ${tuple(s, i)}, x ${number(valueAt(s, i), 2)}: ` +
  `${setInWords(s, i)}, ${count(stats.m, "cell")}, mean ${number(stats.mean)}, variance ${number(stats.var)}, ` +
  `x hat ${number(xhatAt(s, i, stats))}. ${moreOf(s, i, stats)}`.trim();

/** What the picture shows beside the set. */
function moreOf(s, i, { m, rstd }) {
  if (s.show === "dx") {
    if (m === 1) return "dy of this cell reaches no dx: in a set of one cell, x̂ is 0 whatever x is.";
    return `dy of this cell reaches dx in all ${m} cells of its set, and in no other: dx[j] = dy[i] · rstd · ` +
      `((i = j) − 1/m − x̂[i] · x̂[j] / m), with rstd = ${number(rstd)}. The coefficients, blue if positive ` +
      "and orange if negative, sum to 0. Slices show them all.";
  }
  if (s.show === "weight") {
    const [, c, h, w] = cellAt(s, i);
    const own = NORMS[s.norm].elementwise
      ? `weight[${c}, ${h}, ${w}] of shape (${s.c}, ${s.h}, ${s.w})` : `weight[${c}] of shape (${s.c},)`;
    return `In full colour: the ${count(weightMates(s, i).length, "cell")} with ${own}.`;
  }
  return m === 1 ? "A set of one cell is its own mean: x̂ is 0, whatever x is." : "";
}
