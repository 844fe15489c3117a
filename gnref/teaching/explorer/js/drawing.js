/* Drawing the block on a canvas. */

import { inkOn, mix, PALETTE } from "./colours.js";
import { heightFor, sidesOf, viewOf } from "./geometry.js";
import { jacobianRow, valueAt } from "./numbers.js";
import { cellAt, cellCount, indexOf, NORMS, range, setNumber, setOf, weightNumber } from "./sets.js";
import { number, title, tuple } from "./words.js";

const FONT = "system-ui, sans-serif";
const READABLE = 34; // a cell that has room for a number, in CSS pixels

/** How to paint each cell: { fill, alpha, label }; a cell of alpha 1 is solid, all others are glass. */
function paintOf({ s, theme, marks, verdict }) {
  const p = PALETTE[theme];
  const full = p[NORMS[s.norm].hue];
  const glass = { fill: p.muted, alpha: 0.16, label: "" };
  if (s.task) {
    const wrong = new Set([...(verdict?.missing ?? []), ...(verdict?.extra ?? [])]);
    return (i) => marks.has(i) ? { fill: full, alpha: 1, label: wrong.has(i) ? "✕" : "✓" }
      : { ...glass, label: wrong.has(i) ? "?" : "" };
  }
  const i = indexOf(s, s.cell);
  if (s.show === "dx") {
    const row = jacobianRow(s, i);
    const most = Math.max(...row.map(Math.abs)) || 1;
    const set = new Set(setOf(s, i));
    // The square root, because one coefficient, the cell's own, is much larger than all others.
    const share = (v) => 0.12 + 0.88 * Math.sqrt(Math.abs(v) / most);
    const colour = (v) => mix(p.background, v < 0 ? p.layer : p.batch, share(v));
    return (j) => set.has(j) ? { fill: colour(row[j]), alpha: 1, label: number(row[j], 2) } : glass;
  }
  const numberOf = s.show === "weight" ? weightNumber : setNumber;
  const own = numberOf(s, i);
  const alpha = (j) => (numberOf(s, j) === own ? 1 : p.tints[tint(s, j)]);
  return (j) => ({ fill: full, alpha: alpha(j), label: number(valueAt(s, j), 2) });
}

/** 0 or 1, different for neighbours of different sets: a checkerboard. */
function tint(s, i) {
  const [n, c, h, w] = cellAt(s, i);
  if (s.show === "weight") return (NORMS[s.norm].elementwise ? c + h * s.w + w : c) % 2;
  const groups = NORMS[s.norm].groups(s);
  return ((NORMS[s.norm].poolsN ? 0 : n) + Math.floor((c * groups) / s.c)) % 2;
}

/** Draw the scene, and return its sides, back to front, for picking. */
export function draw(ctx, width, height, scene) {
  const p = PALETTE[scene.theme];
  const view = viewOf(scene, width, height);
  const paint = range(cellCount(scene.s)).map(paintOf(scene));
  const sides = sidesOf(view, (i) => paint[i].alpha === 1)
    .filter((side) => !side.hidden || side.i === scene.picked || side.i === scene.cursor);
  ctx.lineJoin = "round";
  for (const side of sides.filter((one) => !one.hidden)) drawSide(ctx, side, paint[side.i], view, p);
  // The outlines of the picked cell and of the keys' show through whatever is before them.
  for (const side of sides) {
    if (![scene.picked, scene.hover, scene.cursor].includes(side.i)) continue;
    outline(ctx, side.points);
    ctx.strokeStyle = p.ink;
    ctx.globalAlpha = side.hidden ? 0.4 : 1;
    ctx.lineWidth = side.i === scene.picked && !side.hidden ? 2.5 : 1.2;
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  drawAxes(ctx, view, p);
  return sides.filter((side) => !side.hidden);
}

function outline(ctx, points) {
  ctx.beginPath();
  for (const [x, y] of points) ctx.lineTo(x, y);
  ctx.closePath();
}

function drawSide(ctx, { points, axis, outer }, { fill, alpha, label }, view, p) {
  // Light comes from above and from the left.
  const [light, share] = [["#000000", 0.1], ["#FFFFFF", 0.16], ["#FFFFFF", 0]][axis];
  outline(ctx, points);
  ctx.fillStyle = mix(fill, light, share);
  ctx.globalAlpha = alpha;
  ctx.fill();
  ctx.globalAlpha = alpha === 1 || view.t === 1 ? 1 : 0.5;
  ctx.strokeStyle = p.background;
  ctx.lineWidth = 1;
  ctx.stroke();
  ctx.globalAlpha = 1;
  // No numbers on glass or behind it: they would be hard to read.
  const readable = axis === 2 && outer && view.scale >= READABLE && (alpha === 1 || view.t === 1);
  if (readable) writeOn(ctx, points, label, view.scale, alpha === 1 ? inkOn(fill) : p.ink);
}

/** Write on a front side as if it were painted there. */
function writeOn(ctx, [p0, p1, , p3], label, scale, ink) {
  const flip = p1[0] < p0[0] ? -1 : 1; // seen from behind
  const [u, v] = [p1, p3].map((q) => q.map((x, k) => (x - p0[k]) / scale));
  ctx.save();
  ctx.transform(flip * u[0], flip * u[1], -v[0], -v[1], (p1[0] + p3[0]) / 2, (p1[1] + p3[1]) / 2);
  write(ctx, label, 0, 0, ink, Math.min(Math.max(0.27 * scale, 10), 17));
  ctx.restore();
}

function write(ctx, text, x, y, ink, size = 13, weight = 400) {
  const font = `${weight} ${size}px ${FONT}`;
  Object.assign(ctx, { fillStyle: ink, font, textAlign: "center", textBaseline: "middle" });
  ctx.fillText(text, x, y);
}

/** An arrow and a name along one edge for each axis; in slices, the number of each. */
function drawAxes(ctx, view, p) {
  const { at, near, t, columns, sizes: [C, P, N] } = view;
  const first = t > 0.5 ? Math.floor((N - 1) / columns) * columns : 0; // the slice at the lower left
  const centre = at([C / 2, P / 2, t > 0.5 ? first + 0.5 : N / 2], first);
  const [c, z] = t > 0.5 ? [C, first] : [near[0] * C, near[2] * N];
  const edge = (a, b, name) => drawEdge(ctx, at(a, first), at(b, first), centre, name, p.muted);
  edge([0, 0, z], [C, 0, z], `C = ${C}`);
  edge([C - c, 0, z], [C - c, P, z], `H·W = ${P}`);
  if (t < 0.5) edge([c, 0, 0], [c, 0, N], `N = ${N}`);
  else for (const n of range(N)) {
    const [x, y] = at([C / 2, P, n], n);
    write(ctx, `n = ${n}`, x, y - 13, p.muted);
  }
}

/** An arrow beside the edge from a to b, on the side away from the centre, and its name. */
function drawEdge(ctx, a, b, centre, name, ink) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = Math.hypot(dx, dy);
  if (length < 12) return; // the axis points at the reader
  const out = (centre[0] - a[0]) * dy - (centre[1] - a[1]) * dx > 0 ? -1 : 1;
  ctx.save();
  ctx.translate(a[0], a[1]);
  ctx.rotate(Math.atan2(dy, dx));
  ctx.translate(0, -10 * out);
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1.2;
  ctx.beginPath();
  ctx.moveTo(0, 0);
  ctx.lineTo(length, 0);
  ctx.moveTo(length - 6, -4);
  ctx.lineTo(length, 0);
  ctx.lineTo(length - 6, 4);
  ctx.stroke();
  ctx.translate(length / 2, -14 * out);
  if (dx < -1) ctx.rotate(Math.PI); // no name stands on its head
  write(ctx, name, 0, 0, ink);
  ctx.restore();
}

/** The scene as the data URL of a PNG, twice as sharp, with its title. */
export function picture(scene, width) {
  const { s } = scene;
  const [p, height, top] = [PALETTE[scene.theme], heightFor(s, width), 64];
  const size = { width: 2 * width, height: 2 * (height + top) };
  const page = Object.assign(document.createElement("canvas"), size);
  const ctx = page.getContext("2d");
  ctx.fillStyle = p.background;
  ctx.fillRect(0, 0, page.width, page.height);
  ctx.scale(2, 2);
  const what = s.task ? "" : { mean: ", cells that share a mean", weight: ", cells that share a weight",
    dx: `, dx by dy of ${tuple(s, scene.picked)}` }[s.show];
  write(ctx, title(s), width / 2, 26, p.ink, 20, 600);
  write(ctx, `N × C × H × W = ${s.n} × ${s.c} × ${s.h} × ${s.w}${what}`, width / 2, 50, p.muted);
  ctx.translate(0, top);
  draw(ctx, width, height, scene);
  return page.toDataURL("image/png");
}
