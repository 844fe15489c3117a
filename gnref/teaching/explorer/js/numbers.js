/* The numbers in the cells, and what the set of a cell shares. */

import { cellAt, cellCount, indexOf, LIMITS, range, setOf } from "./sets.js";

export const EPS = 1e-5;

/* x is the corner [:n, :c, :h, :w] of one block of the largest shape, so that a cell keeps its number
 * while the shape changes. The block holds seed = 16807 * seed % (2**31 - 1), from 1, as
 * (seed % 401 - 200) / 100: steps of 0.01 from -2 to 2. All integers stay below 2**53, so that Python
 * finds the same bits (16807 and 2**31 - 1 are Park and Miller's, 1988). */
let seed = 1;
const BLOCK = range(cellCount(LIMITS)).map(() => ((seed = (16807 * seed) % 2147483647) % 401 - 200) / 100);
export const valueAt = (s, i) => BLOCK[indexOf(LIMITS, cellAt(s, i))];

/** What the set of cell i shares. The variance is the biased one, divided by m. */
export function statistics(s, i) {
  const cells = setOf(s, i);
  const m = cells.length;
  const average = (f) => cells.reduce((sum, j) => sum + f(valueAt(s, j)), 0) / m;
  const mean = average((x) => x);
  const variance = average((x) => (x - mean) ** 2);
  return { cells, m, mean, var: variance, rstd: 1 / Math.sqrt(variance + EPS) };
}

/** x of cell j, normalized with the statistics of its set. */
export const xhatAt = (s, j, { mean, rstd }) => (valueAt(s, j) - mean) * rstd;

/** What a dy of 1 at cell i adds to dx of every cell, without a weight: row i of the Jacobian of xhat. */
export function jacobianRow(s, i) {
  const stats = statistics(s, i);
  const row = new Array(cellCount(s)).fill(0);
  const own = xhatAt(s, i, stats);
  for (const j of stats.cells) {
    row[j] = stats.rstd * ((i === j) - 1 / stats.m - (own * xhatAt(s, j, stats)) / stats.m);
  }
  return row;
}
