// The arithmetic of the explorer against numbers that NumPy wrote, its sentences, its two exercises and its
// address. test_module.py runs this file, for the sources and for what is shipped, and no browser is needed.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const { MODULE, NUMBERS } = process.env;
const ex = await import(pathToFileURL(MODULE));
const numbers = JSON.parse(readFileSync(NUMBERS));
const GN = { norm: "gn", n: 2, c: 6, h: 2, w: 2, g: 3, cell: [0, 2, 1, 0] };

const near = (a, b, what) => assert.ok(Math.abs(a - b) <= 1e-10 * Math.max(1, Math.abs(b)), `${what}: ${a}, NumPy ${b}`);
const cells = (s) => Array.from({ length: ex.cellCount(s) }, (_, i) => i);
const named = ({ state: s }) => `${ex.formatState(s)}`;

test("the cases hold every norm, and for GroupNorm every divisor of C", () => {
  assert.deepEqual([...new Set(numbers.cases.map((c) => c.state.norm))].sort(), Object.keys(ex.NORMS).sort());
  for (const c of new Set(numbers.cases.map((one) => one.state.c))) {
    const seen = numbers.cases.filter(({ state: s }) => s.norm === "gn" && s.c === c).map(({ state: s }) => s.g);
    assert.deepEqual([...new Set(seen)].sort((a, b) => a - b), ex.divisors(c));
  }
});

test("the generator gives Python's numbers, bit for bit", () => {
  assert.deepEqual(cells(ex.LIMITS).map((i) => ex.valueAt(ex.LIMITS, i)), numbers.block);
});

test("the sets are NumPy's, cell by cell", () => {
  for (const one of numbers.cases) {
    assert.deepEqual(cells(one.state).map((i) => ex.setNumber(one.state, i)), one.sets, named(one));
    assert.equal(ex.setCount(one.state), one.count, named(one));
    assert.equal(ex.setSize(one.state), one.size, named(one));
  }
});

test("the cells of a set are those with its number", () => {
  for (const one of numbers.cases) {
    const i = ex.indexOf(one.state, one.state.cell);
    const same = cells(one.state).filter((j) => one.sets[j] === one.sets[i]);
    assert.deepEqual(ex.setOf(one.state, i), same, named(one));
  }
});

test("who shares a weight", () => {
  for (const one of numbers.cases) {
    assert.deepEqual(cells(one.state).map((i) => ex.weightNumber(one.state, i)), one.weights, named(one));
  }
});

test("mean, variance and xhat of every cell of the set", () => {
  for (const one of numbers.cases) {
    const stats = ex.statistics(one.state, ex.indexOf(one.state, one.state.cell));
    near(stats.mean, one.mean, named(one));
    near(stats.var, one.var, named(one));
    for (const j of stats.cells) near(ex.xhatAt(one.state, j, stats), one.xhat[j], named(one));
  }
});

test("the coefficients of dx, zero outside the set, sum 0", () => {
  for (const one of numbers.cases) {
    const row = ex.jacobianRow(one.state, ex.indexOf(one.state, one.state.cell));
    assert.equal(row.length, one.row.length);
    row.forEach((v, j) => {
      near(v, one.row[j], `${named(one)}, cell ${j}`);
      if (one.sets[j] !== one.sets[ex.indexOf(one.state, one.state.cell)]) assert.equal(v, 0);
    });
    assert.ok(Math.abs(row.reduce((a, b) => a + b)) < 1e-9);
  }
});

test("the line of NumPy is the one that Python ran", () => {
  for (const one of numbers.cases) {
    assert.equal(ex.numpyLine(one.state, ex.indexOf(one.state, one.state.cell)), one.line);
  }
});

test("the colours are those of gnref.teaching.palette", () => assert.deepEqual(ex.PALETTE, numbers.palette));

test("a cell and its index, there and back", () => {
  for (const i of cells(GN)) assert.equal(ex.indexOf(GN, ex.cellAt(GN, i)), i);
});

test("a step along C, H·W and N, and the walls", () => {
  const step = (...d) => ex.cellAt(GN, ex.neighbour(GN, ex.indexOf(GN, GN.cell), d)); // from (0, 2, 1, 0)
  assert.deepEqual(step(1, 0, 0), [0, 3, 1, 0]);
  assert.deepEqual(step(0, -1, 0), [0, 2, 0, 1]);
  assert.deepEqual(step(0, 0, 1), [1, 2, 1, 0]);
  assert.deepEqual(step(0, 0, -1), GN.cell);
  assert.deepEqual(step(-9, 9, 9), [1, 0, 1, 1]);
});

test("an address, there and back", () => {
  const address = "norm=gn&n=2&c=6&h=2&w=2&g=3&cell=0,2,1,0";
  const { state, notes } = ex.parseState(`?${address}`);
  assert.deepEqual(notes, []);
  assert.equal(ex.formatState(state), address);
  const more = ex.parseState(`${address}&view=slices&show=dx&task=mark`);
  assert.equal(ex.formatState(more.state), `${address}&view=slices&show=dx&task=mark`);
  assert.deepEqual(ex.parseState("").state, ex.DEFAULTS);
  assert.equal(ex.formatState(ex.parseState(address.replaceAll(",", "%2C")).state), address);
});

test("what cannot be drawn gets a sentence and the nearest picture, never an exception", () => {
  const said = (query, pattern, expected) => {
    const { state, notes } = ex.parseState(query);
    assert.match(notes.join(" "), pattern, query);
    for (const key in expected) assert.deepEqual(state[key], expected[key], query);
  };
  said("g=4", /G is “4”; expected a divisor of C = 6, one of 1, 2, 3, 6\. The picture has G = 3\./, { g: 3 });
  said("c=7&g=3", /one of 1, 7\./, { g: 1 });
  said("g=", /G is “”/, { g: 1 });
  said("g=0", /G is “0”/, { g: 1 });
  said("n=99", /N is “99”; expected 1 to 6\. The picture has N = 6\./, { n: 6 });
  said("n=0", /N is “0”/, { n: 2 });
  said("h=-1&w=1.5", /H is “-1”.*W is “1\.5”/, { h: 2, w: 2 });
  said("norm=foo", /norm is “foo”; expected one of bn, ln, in, gn, ln-pytorch/, { norm: "gn" });
  said("cell=9,9,9,9", /no cell “9,9,9,9”.*\(1, 5, 1, 1\)/, { cell: [1, 5, 1, 1] });
  said("cell=abc", /no cell “abc”/, { cell: [0, 0, 0, 0] });
  said("view=x&show=y&task=z", /view is “x”.*show is “y”.*task is “z”/, { view: "block", show: "mean", task: "" });
  for (const bad of [null, NaN, [], {}, true, "<b>", Infinity, 2 ** 60, [1, 2]]) {
    for (const key of Object.keys(ex.DEFAULTS)) {
      const { state } = ex.clean({ [key]: bad });
      assert.equal(ex.clean(state).notes.length, 0, `${key} = ${bad}`);
    }
  }
});

test("what an address leaves out follows its sizes, without a word", () => {
  const { state, notes } = ex.parseState("?c=4&h=1", GN);
  assert.deepEqual([state.g, state.cell, notes], [4, [0, 2, 0, 0], []]);
  assert.equal(ex.parseState("?n=4", { ...GN, c: 4, g: 2 }).state.g, 2);
  assert.match(ex.parseState("?c=4&g=3", GN).notes.join(), /^G is “3”/);
});

test("G is nothing to complain about where it is not used", () => {
  assert.deepEqual(ex.clean({ norm: "bn", c: 7, g: 3 }).notes, []);
  assert.deepEqual(ex.clean({ c: 7 }).notes, []); // nobody asked for the default G
});

test("the sets in words", () => {
  const words = (patch) => ex.setInWords({ ...GN, ...patch }, ex.indexOf(GN, GN.cell));
  assert.equal(words({}), "example 0, group 1: channels 2 and 3, all H and W");
  assert.equal(words({ g: 6 }), "example 0, group 2: channel 2, all H and W");
  assert.equal(words({ g: 1 }), "example 0, all C, H and W");
  assert.equal(words({ norm: "bn" }), "channel 2 of every example, all H and W");
  assert.equal(words({ norm: "ln" }), "example 0, all C, H and W");
  assert.equal(words({ norm: "in" }), "example 0, channel 2, all H and W");
});

test("the two LayerNorms have the same sets, and say how their weights differ", () => {
  assert.match(ex.rule({ ...GN, norm: "ln" }), /a weight for each channel, C = 6 \(PyTorch’s: one for each element\)/);
  assert.match(ex.rule({ ...GN, norm: "ln-pytorch" }), /a weight for each element, C × H × W = 24 \(the paper’s/);
  assert.equal(ex.alike({ ...GN, norm: "ln-pytorch" }), "These are also the sets of LayerNorm.");
});

test("norms that coincide on a block are told, as NumPy finds them", () => {
  for (const { state: s, sets } of numbers.cases) {
    const same = ["bn", "ln", "in", "gn"].filter((norm) => norm !== s.norm &&
      JSON.stringify(cells(s).map((i) => ex.setNumber({ ...s, norm }, i))) === JSON.stringify(sets));
    const told = ex.alike(s);
    for (const norm of ["bn", "ln", "in", "gn"]) {
      assert.equal(new RegExp(`\\b${ex.NORMS[norm].name}\\b`).test(told), same.includes(norm), `${ex.formatState(s)}: ${told}`);
    }
  }
});

const marks = (s, patch = {}) => new Set(ex.setOf({ ...s, ...patch }, ex.indexOf(s, s.cell)));

test("mark: the right set of every case is right, and no other norm's is", () => {
  for (const { state: s, sets } of numbers.cases) {
    assert.equal(ex.checkMarks(s, marks(s)).right, true);
    for (const norm of Object.keys(ex.NORMS)) {
      const other = marks(s, { norm });
      const own = sets[ex.indexOf(s, s.cell)];
      const equal = cells(s).every((j) => other.has(j) === (sets[j] === own));
      assert.equal(ex.checkMarks(s, other).right, equal, `${ex.formatState(s)} marked as ${norm}`);
    }
  }
});

test("mark: what is missing, what is too many, and the mistake", () => {
  const set = marks(GN);
  const less = ex.checkMarks(GN, new Set([...set].slice(1)));
  assert.deepEqual([less.missing, less.extra], [[8], []]);
  assert.equal(less.text, "Missing: 1 cell, (0, 2, 0, 0).");
  const more = ex.checkMarks(GN, new Set([...set, 47]));
  assert.equal(more.text, "Too many: 1 cell, (1, 5, 1, 1).");
  assert.deepEqual(ex.checkMarks(GN, new Set()), // and nothing is given away
    { right: false, missing: [], extra: [], text: "Nothing is marked yet." });
  assert.match(ex.checkMarks(GN, marks(GN, { norm: "in" })).text, /Missing: 4 cells, .*, …\. You marked the set of InstanceNorm\.$/);
  assert.match(ex.checkMarks(GN, marks(GN, { norm: "bn" })).text, /You marked the set of BatchNorm\.$/);
  assert.match(ex.checkMarks(GN, new Set(cells(GN))).text, /You marked the whole block\.$/);
  const strided = cells(GN).filter((j) => ex.cellAt(GN, j)[0] === 0 && ex.cellAt(GN, j)[1] % 3 === 2);
  assert.match(ex.checkMarks(GN, new Set(strided)).text, /c \/\/ K, not c % G\.$/);
  const torch = { ...GN, norm: "ln-pytorch" };
  assert.match(ex.checkMarks(torch, new Set(ex.weightMates(torch, 10))).text, /share the weight, not the mean\.$/);
});

test("count: only the right number is right, and the rule is said", () => {
  for (const { state: s, count } of numbers.cases) {
    for (let v = 0; v <= 80; v++) assert.equal(ex.checkCount(s, `${v}`).right, v === count, ex.formatState(s));
  }
  assert.equal(ex.checkCount(GN, " 6 ").text, "Right. There is one mean for each example and group: N × G = 2 × 3 = 6.");
  assert.equal(ex.checkCount(GN, "8").text,
    "Not 8. 8 is m, the number of cells that share one mean. There is one mean for each example and group.");
  assert.match(ex.checkCount(GN, "12").text, /12 would be right for InstanceNorm\./);
  for (const bad of ["", "six", "6.5", "-6", null, undefined]) {
    assert.deepEqual(ex.checkCount(GN, bad), { right: false, text: "Write a whole number." });
  }
});

test("a new question is one that can be drawn, and has more than one set", () => {
  for (let k = 0; k < 200; k++) {
    const { state, notes } = ex.clean(ex.randomQuestion());
    assert.deepEqual(notes, []);
    assert.ok(ex.setCount(state) > 1);
  }
});

test("states, limits and addresses are Python's", () => {
  assert.deepEqual(ex.LIMITS, numbers.limits);
  assert.deepEqual(ex.CHOICES, numbers.choices);
  assert.deepEqual(Object.keys(ex.NORMS), numbers.norms);
  for (const { fields, address } of numbers.states) {
    const { state, notes } = ex.clean(fields);
    assert.deepEqual(notes, []);
    assert.equal(`?${ex.formatState(state)}`, address);
    assert.deepEqual(ex.parseState(address), { state, notes });
  }
});

const heard = (patch) => {
  const s = { ...GN, show: "mean", view: "block", task: "", ...patch };
  const i = ex.indexOf(s, s.cell);
  return ex.spoken(s, i, ex.statistics(s, i));
};

test("what is drawn is also said", () => {
  assert.match(heard({}), /: example 0, group 1: channels 2 and 3, all H and W, 8 cells, .* x hat [−\d.]+\.$/);
  assert.match(heard({ show: "weight" }), / In full colour: the 8 cells with weight\[2\] of shape \(6,\)\.$/);
  assert.match(heard({ show: "weight", norm: "ln-pytorch" }), /the 2 cells with weight\[2, 1, 0\] of/);
  assert.match(heard({ show: "dx" }), / dy of this cell reaches dx in all 8 cells of its set, and in no other/);
});

test("the hint names the keys that do something", () => {
  const says = (task, view = "block") => ex.hint({ task, view });
  assert.match(says(""), /^Click a cell, or use the arrow keys, with Page Up and Page Down along N\. Drag/);
  assert.match(says("mark", "slices"), /^Click a cell, or use the arrow keys and Space, with .* N\. Pixel/);
  assert.match(says("count"), /^Drag, or hold Shift with the arrow keys, to turn the block; /);
  assert.match(says("count", "slices"), /^Pixel/);
});

test("each exercise has a question, and exploring has none", () => {
  assert.match(ex.question({ ...GN, task: "mark" }, 10), /^Mark every cell .*, \(0, 2, 1, 0\): /);
  assert.match(ex.question({ ...GN, task: "count" }, 10), /^How many means .* 2 × 6 × 2 × 2 cells\?$/);
  assert.equal(ex.question({ ...GN, task: "" }, 10), undefined);
});

test("both ways in are there", () => {
  assert.equal(typeof ex.mount, "function");
  assert.equal(typeof ex.default.render, "function");
});
