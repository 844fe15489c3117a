/* Where the cells are: as boxes, C to the right, H·W up, N deep. */

import { cellCount, range } from "./sets.js";

export const HOME = { yaw: 0.46, pitch: 0.34 };
const gapOf = (pixels) => Math.max(1, pixels / 6); // between two slices, in cells: it holds a name
const [MOST, MOST_IN_SLICES] = [92, 60]; // the side of a cell at most, in CSS pixels
const MARGIN = 44; // around the block, for the names of the axes

/** Where a step along c, the pixels and n leads: right and up on paper, and away from the eye. */
function basis(yaw, pitch) {
  const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return [[cy, -sy * sp, -sy * cp], [0, cp, -sp], [sy, cy * sp, cy * cp]];
}

/** How high a canvas of this width should be: slices need rows, so that their cells stay easy to hit. */
export function heightFor({ view, n, c, h, w }, width) {
  if (view === "block") return Math.round(Math.min(Math.max(0.72 * width, 290), 500));
  const room = width - 2 * MARGIN;
  const gap = gapOf(h * w);
  const cell = (columns) => Math.min(room / (columns * (c + gap) - gap), MOST_IN_SLICES);
  const rows = (columns) => Math.ceil(n / columns) * (h * w + gap) - gap;
  const height = (columns) => rows(columns) * cell(columns) + 2 * MARGIN;
  const known = range(n).map((k) => k + 1);
  const most = width < 600 ? 900 : 680; // still fits on a screen
  return Math.round(Math.min(height(known.find((k) => height(k) <= most) ?? n), most));
}

/** The view of a scene: at(point, n) is where a point (c, pixel, depth) of slice n is on the canvas. */
export function viewOf({ s, yaw, pitch, t }, width, height) {
  const steps = basis(yaw * (1 - t), pitch * (1 - t)); // slices face the reader
  const sizes = [s.c, s.h * s.w, s.n];
  const [C, P, N] = sizes;
  const gap = gapOf(P);
  const room = [width - 2 * MARGIN, height - 2 * MARGIN];
  const fit = (w, h) => Math.min(room[0] / w, room[1] / h, MOST);
  const grid = (k) => fit(k * (C + gap) - gap, Math.ceil(N / k) * (P + gap) - gap);
  const columns = range(N).map((k) => k + 1).reduce((a, b) => (grid(b) > grid(a) ? b : a));
  const flat = (point, n) => [0, 1].map((k) => point.reduce((sum, v, axis) => sum + v * steps[axis][k], 0) +
    t * (k ? -Math.floor(n / columns) * (P + gap) : (n % columns) * (C + gap)));
  const corners = range(N).flatMap((n) => range(8).map((b) =>
    flat([b & 1 && C, b & 2 && P, n + (b >> 2)], n)));
  const [low, high] = [Math.min, Math.max].map((f) => [0, 1].map((k) => f(...corners.map((q) => q[k]))));
  const scale = fit(high[0] - low[0], high[1] - low[1]);
  const middle = [width / 2, height / 2];
  const at = (point, n = 0) => flat(point, n).map((v, k) =>
    middle[k] + (k ? -1 : 1) * scale * (v - (low[k] + high[k]) / 2));
  // A side of a box is seen where its axis comes towards the eye.
  const near = steps.map((step) => (step[2] < 0 ? 1 : 0));
  return { s, t, at, near, scale, sizes, columns, middle };
}

/** The sides that can be seen, from back to front, so that what is nearer covers what is farther. */
export function sidesOf(view, solid) {
  const { s, t, at, near, sizes } = view;
  const order = sizes.map((k, axis) => (near[axis] ? range(k) : range(k).reverse()));
  const index = ([c, p, n]) => (n * s.c + c) * sizes[1] + p;
  // The cell before this side, if there is one.
  const before = (cell, axis) => {
    const next = cell.map((v, k) => v + (k === axis && (near[axis] ? 1 : -1)));
    const outside = next[axis] < 0 || next[axis] >= sizes[axis] || (axis === 2 && t);
    return outside ? -1 : index(next);
  };
  const sides = [];
  for (const n of order[2]) for (const p of order[1]) for (const c of order[0]) {
    const cell = [c, p, n];
    for (const axis of t === 1 ? [2] : [0, 1, 2]) {
      const [i, j] = [index(cell), before(cell, axis)];
      const hidden = j >= 0 && (solid(j) || !solid(i)); // glass does not hide what is solid
      sides.push({ i, axis, hidden, outer: j < 0, points: corners(cell, axis, near, at) });
    }
  }
  return sides;
}

/** The four corners of a cell's side, round about. */
function corners(cell, axis, near, at) {
  const [a, b] = [0, 1, 2].filter((k) => k !== axis);
  return [[0, 0], [1, 0], [1, 1], [0, 1]].map(([da, db]) => {
    const point = [...cell];
    point[axis] += near[axis];
    point[a] += da;
    point[b] += db;
    return at(point, cell[2]);
  });
}

/** The front-most cell at a point of the canvas, or -1. */
export function cellUnder(sides, x, y) {
  const within = ({ points }) => {
    const turns = points.map(([ax, ay], k) => {
      const [bx, by] = points[(k + 1) % 4];
      return (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0;
    });
    return turns.every((turn) => turn === turns[0]);
  };
  return sides.findLast(within)?.i ?? -1;
}
