/* The norms, and which cells share a mean. A cell is its flat index i in N C H W order. */

export const LIMITS = { n: 6, c: 12, h: 4, w: 4 };

// A norm is two answers: does N share statistics, and into how many groups are the channels split?
const LAYER = { hue: "layer", groups: () => 1, over: "C, H and W", per: "each example", many: ["N"] };
export const NORMS = {
  bn: { name: "BatchNorm", hue: "batch", poolsN: true, groups: (s) => s.c,
    over: "N, H and W", per: "each channel", many: ["C"] },
  ln: { name: "LayerNorm", ...LAYER },
  in: { name: "InstanceNorm", hue: "instance", groups: (s) => s.c,
    over: "H and W", per: "each example and channel", many: ["N", "C"] },
  gn: { name: "GroupNorm", hue: "group", groups: (s) => s.g,
    over: "the channels of a group, H and W", per: "each example and group", many: ["N", "G"] },
  "ln-pytorch": { name: "PyTorch’s LayerNorm", ...LAYER, elementwise: true },
};

export const cellCount = (s) => s.n * s.c * s.h * s.w;
export const indexOf = (s, [n, c, h, w]) => ((n * s.c + c) * s.h + h) * s.w + w;
export const cellAt = (s, i) => [
  Math.floor(i / (s.c * s.h * s.w)), Math.floor(i / (s.h * s.w)) % s.c, Math.floor(i / s.w) % s.h, i % s.w,
];
/** The cell one step along (c, pixel, n) from cell i, or at the wall. */
export function neighbour(s, i, [dc, dp, dn]) {
  const [n, c, h, w] = cellAt(s, i);
  const within = (v, size) => Math.min(Math.max(v, 0), size - 1);
  const pixel = within(h * s.w + w + dp, s.h * s.w);
  return indexOf(s, [within(n + dn, s.n), within(c + dc, s.c), 0, pixel]);
}

export const divisors = (c) => range(c + 1).filter((d) => d && c % d === 0);
export const range = (k) => Array.from({ length: k }, (_, i) => i);
export const others = (norm) => Object.keys(NORMS).filter((k) => k !== norm && !NORMS[k].elementwise);

/** The number of the set of cell i: (example, group), counted in the order of memory. */
export function setNumber(s, i) {
  const { poolsN, groups } = NORMS[s.norm];
  const [n, c] = cellAt(s, i);
  const G = groups(s);
  return (poolsN ? 0 : n * G) + Math.floor((c * G) / s.c);
}

/** The number of the weight of cell i: its channel or, for PyTorch's LayerNorm, its element. */
export const weightNumber = (s, i) =>
  NORMS[s.norm].elementwise ? i % (s.c * s.h * s.w) : cellAt(s, i)[1];

/** All cells that share cell i's number, in the order of memory. */
const sharing = (s, number, i) => range(cellCount(s)).filter((j) => number(s, j) === number(s, i));
export const setOf = (s, i) => sharing(s, setNumber, i);
export const weightMates = (s, i) => sharing(s, weightNumber, i);

export const setCount = (s) => (NORMS[s.norm].poolsN ? 1 : s.n) * NORMS[s.norm].groups(s);
export const setSize = (s) => cellCount(s) / setCount(s);
