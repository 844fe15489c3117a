/* The axis explorer: the block of Wu & He 2018, Fig. 2, for any small N, C, H, W and G.
 *
 * tools/build_explorer.py makes one module of this file and those in js/, because notebooks load it from a
 * blob, where relative imports fail. It has two ways in: mount(el, options) for a page, and for anywidget the
 * default export at the end. All arithmetic is in js/, pure, and tested against NumPy. */

import { draw, picture } from "./js/drawing.js";
import { checkCount, checkMarks, randomQuestion } from "./js/exercises.js";
import { cellUnder, heightFor, HOME } from "./js/geometry.js";
import { PAGE } from "./js/page.js";
import { showControls, showFacts } from "./js/panel.js";
import { followPointer } from "./js/pointer.js";
import { cellAt, indexOf, neighbour } from "./js/sets.js";
import { clean, DEFAULTS, parseState, writeAddress } from "./js/state.js";
import { dress, themeOfPage, watchTheme } from "./js/theme.js";
import { tuple } from "./js/words.js";

const STEPS = { ArrowRight: [1, 0, 0], ArrowLeft: [-1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
const MILLISECONDS = 450; // for the slices to move apart

class Explorer {
  // t: 0 a block, 1 slices; hover: the pointer's cell; cursor: the keys' while the set is being marked
  #scene = { ...HOME, t: 0, hover: -1, cursor: -1, marks: new Set(), verdict: null };
  #stop = new AbortController();
  #sides = []; // what is on the canvas, from back to front
  #frame = 0;
  #root; #canvas; #theme; #address; #onChange;
  #wish; // the G that was chosen: C may slide past a number that it does not divide

  constructor(el, { theme = "auto", address = false, onChange, ...options }) {
    this.#root = el.shadowRoot ?? el.attachShadow({ mode: "open" });
    this.#root.innerHTML = PAGE;
    el.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to us
    [this.#theme, this.#address, this.#onChange] = [theme, address, onChange];
    this.#canvas = this.#$("canvas");
    const start = address ? parseState(location.search, options) : clean(options);
    this.#wish = start.state.g;
    this.#listen();
    this.#take(start);
  }

  get state() {
    return { ...this.#scene.s, cell: [...this.#scene.s.cell] };
  }

  /** Change parts of the state, or the theme. */
  update({ theme = this.#theme, ...patch }) {
    this.#theme = theme;
    this.#wish = patch.g ?? this.#wish;
    if (Object.keys(patch).some((key) => key !== "view" && key !== "cell")) this.#forgetAnswers();
    const slices = patch.task === "mark" && { view: "slices" }; // in the block, cells hide cells
    this.#take(clean({ ...this.#scene.s, g: this.#wish, ...slices, ...patch }, "cell" in patch));
    this.#onChange?.(this.state);
  }

  /** The picture as the data URL of a PNG. */
  png() {
    return picture(this.#scene, this.#canvas.clientWidth || 640);
  }

  destroy() {
    this.#stop.abort();
    cancelAnimationFrame(this.#frame);
    this.#root.replaceChildren();
  }

  #$(selector) {
    return this.#root.querySelector(selector);
  }

  #say(id, text) {
    this.#$(id).textContent = text;
  }

  /** Show a state, with what could not be taken of the one that was asked for. */
  #take({ state, notes }) {
    const scene = this.#scene;
    const moved = scene.s && state.view !== scene.s.view;
    Object.assign(scene, { s: state, hover: -1 });
    scene.picked = state.task === "count" ? -1 : indexOf(state, state.cell);
    this.#say("#note", notes.join(" "));
    showControls(this.#root, state);
    showFacts(this.#root, state);
    if (this.#address) writeAddress(state);
    if (moved) this.#slide();
    else this.#paint(state.view === "slices" ? 1 : 0);
  }

  /** Move the slices apart, or together. */
  #slide() {
    cancelAnimationFrame(this.#frame);
    const [from, to, begin] = [this.#scene.t, this.#scene.s.view === "slices" ? 1 : 0, performance.now()];
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const step = (now) => {
      const share = still ? 1 : Math.min(Math.max((now - begin) / MILLISECONDS, 0), 1);
      this.#paint(from + (to - from) * share * share * (3 - 2 * share));
      if (share < 1) this.#frame = requestAnimationFrame(step);
    };
    step(begin);
  }

  #paint(t = this.#scene.t) {
    const [canvas, scene] = [this.#canvas, this.#scene];
    Object.assign(scene, { t, theme: this.#theme === "auto" ? themeOfPage() : this.#theme });
    dress(this.#$(".gx"), scene);
    const width = canvas.clientWidth;
    if (width && !this.#sides.length) this.#unfold();
    const height = heightFor(scene.s, width);
    canvas.style.height = `${height}px`;
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const ctx = canvas.getContext("2d");
    ctx.scale(ratio, ratio);
    this.#sides = width ? draw(ctx, width, height, scene) : [];
  }

  /** Seen for the first time: in the layout with two columns there is room for the table. */
  #unfold() {
    this.#$("details").open = this.#$(".body").clientWidth >= 820;
  }

  /** A click on a cell. */
  #act(i) {
    const { s } = this.#scene;
    if (s.task === "mark") this.#mark(i);
    else if (!s.task) this.update({ cell: cellAt(s, i) });
  }

  /** An arrow key: pick the next cell or, while the set is being marked, point at it. */
  #walk(step) {
    const { s, marks } = this.#scene;
    const next = neighbour(s, this.#cursor(), step);
    if (s.task !== "mark") return this.#act(next);
    this.#scene.cursor = next;
    this.#say("#live", `${tuple(s, next)}${marks.has(next) ? " marked" : ""}`);
    this.#paint();
  }

  #cursor() {
    const { s, cursor } = this.#scene;
    return cursor >= 0 ? cursor : indexOf(s, s.cell);
  }

  #mark(i, value = !this.#scene.marks.has(i)) {
    const { s, marks } = this.#scene;
    marks[value ? "add" : "delete"](i);
    this.#scene.verdict = null;
    this.#say("#verdict", "");
    this.#say("#live", `${tuple(s, i)} ${value ? "marked" : "not marked"}`);
    this.#paint();
  }

  #forgetAnswers() {
    Object.assign(this.#scene, { cursor: -1, marks: new Set(), verdict: null });
    this.#$("#answer input").value = "";
  }

  #check() {
    const { s, marks } = this.#scene;
    const verdict = s.task === "mark" ? checkMarks(s, marks) : checkCount(s, this.#$("#answer input").value);
    this.#scene.verdict = s.task === "mark" ? verdict : null;
    this.#say("#verdict", (verdict.right ? "✓ " : "✕ ") + verdict.text);
    this.#$("#verdict").classList.toggle("right", verdict.right);
    this.#paint();
  }

  /** Turn the block; never so far that it is seen from below. */
  #turn(dx, dy) {
    this.#scene.yaw -= dx / 120;
    this.#scene.pitch = Math.min(Math.max(this.#scene.pitch + dy / 120, 0), 1.4);
    this.#paint();
  }

  #hover(i) {
    if (i === this.#scene.hover) return;
    this.#scene.hover = i;
    this.#canvas.style.cursor = i < 0 ? "grab" : "pointer";
    this.#paint();
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return; // the browser's own
    const { key, shiftKey } = event;
    const step = STEPS[key];
    const space = key === " " || key === "Enter";
    if (!step && !space && key !== "Home") return;
    event.preventDefault();
    if (step && shiftKey) this.#turn(12 * step[0], -12 * step[1]);
    else if (step) this.#walk(step);
    else if (key === "Home") this.#turn(Object.assign(this.#scene, HOME) && 0, 0);
    else if (this.#scene.s.task === "mark") this.#mark(this.#cursor());
  }

  #save() {
    const { norm, n, c, h, w } = this.#scene.s;
    const file = { href: this.png(), download: `${norm}-${n}x${c}x${h}x${w}.png` };
    Object.assign(document.createElement("a"), file).click();
  }

  #listen() {
    const { signal } = this.#stop;
    const listen = (target, type, f) => target.addEventListener(type, f, { signal });
    const click = (id, f) => listen(this.#$(id), "click", f);
    listen(this.#root, "input", ({ target }) => target.name && this.update({ [target.name]: target.value }));
    listen(this.#$("#answer input"), "keydown", ({ key }) => key === "Enter" && this.#check());
    listen(this.#canvas, "keydown", (event) => this.#key(event));
    click("#check", () => this.#check());
    click("#another", () => this.update(randomQuestion()));
    click("#png", () => this.#save());
    followPointer(this.#canvas, listen, {
      under: (x, y) => cellUnder(this.#sides, x, y),
      hover: (i) => this.#hover(i),
      act: (i) => this.#act(i),
      turn: (dx, dy) => this.#turn(dx, dy),
      brushing: () => this.#scene.s.task === "mark" && this.#scene.s.view === "slices",
      marked: (i) => this.#scene.marks.has(i),
      mark: (i, value) => this.#mark(i, value),
    });
    watchTheme(listen, signal, () => this.#paint());
    const resized = new ResizeObserver(() => requestAnimationFrame(() => signal.aborted || this.#paint()));
    resized.observe(this.#canvas);
    signal.addEventListener("abort", () => resized.disconnect());
  }
}

/** Put an explorer into an element.
 *
 * options: any part of a state (see DEFAULTS); theme, "light", "dark" or "auto" (the page's); address: true
 * to read the page's address and keep it up to date; onChange(state). Returns { state, update, png, destroy }. */
export const mount = (el, options = {}) => new Explorer(el, options);

// For the tests.
export { PALETTE } from "./js/colours.js";
export { checkCount, checkMarks, randomQuestion } from "./js/exercises.js";
export { jacobianRow, statistics, valueAt, xhatAt } from "./js/numbers.js";
export { hint, question, spoken } from "./js/panel.js";
export * from "./js/sets.js";
export { CHOICES, clean, DEFAULTS, formatState, parseState } from "./js/state.js";
export { alike, numpyLine, rule, setInWords } from "./js/words.js";

/** The way in for anywidget: the state's keys are the model's, and so is theme. */
export default {
  render({ model, el }) {
    const keys = Object.keys(DEFAULTS);
    const all = () => Object.fromEntries([...keys, "theme"].map((key) => [key, model.get(key)])
      .filter(([, value]) => value !== undefined && value !== null));
    const explorer = mount(el, { ...all(), onChange(state) {
      for (const key of keys) model.set(key, state[key]);
      model.save_changes();
    } });
    const changed = () => {
      if (keys.some((key) => `${model.get(key)}` !== `${explorer.state[key]}`)) explorer.update(all());
    };
    for (const key of keys) model.on(`change:${key}`, changed);
    model.on("change:theme", () => explorer.update({ theme: model.get("theme") }));
    return () => explorer.destroy();
  },
};
