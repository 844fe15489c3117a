/* The page: what it holds, and how it looks. It lives in a shadow root, out of reach of Jupyter's styles. */

import { LIMITS, NORMS } from "./sets.js";
import { AXES } from "./state.js";

const STYLE = `
:host { display: block; container-type: inline-size; }
* { box-sizing: border-box; }
.gx { color: var(--ink); background: var(--bg); font: 15px/1.5 system-ui, sans-serif; padding: 20px;
  border: 1px solid var(--line); border-radius: 14px; text-align: left; }
.gx > * + *, .stage > * + *, .panel > * + * { margin-top: 14px; }
p, dl { margin: 0; }
[hidden] { display: none !important; }
.sr, input[type=radio] { position: absolute; opacity: 0; width: 1px; height: 1px; overflow: hidden; margin: 0; }

fieldset { display: inline-flex; flex-wrap: wrap; gap: 2px; border: 0; margin: 0; min-width: 0;
  padding: 3px; border-radius: 10px; background: var(--tint); }
label { position: relative; }
fieldset label { cursor: pointer; }
fieldset span, button, select, input[type=text] { display: block; padding: 3px 11px; border: 1px solid transparent;
  border-radius: 8px; background: none; color: inherit; font: inherit; cursor: pointer; }
button, select, input[type=text] { border-color: var(--line); background: var(--bg); }
fieldset span:hover, button:hover, select:hover { border-color: var(--hue); }
:checked + span { background: var(--bg); border-color: var(--hue); }
:focus-visible, :focus-visible + span { outline: 2px solid var(--ink); outline-offset: 2px; }
[data-name=norm] { background: none; padding: 0; gap: 8px; }
[data-name=norm] span { border-color: var(--line); }
[data-name=norm] span::before { content: ""; display: inline-block; width: .7em; height: .7em; margin-right: .5em;
  border-radius: 50%; background: var(--own); }
[data-name=norm] :checked + span { background: var(--hue); border-color: var(--hue); color: var(--on); }
[data-name=norm] :checked + span::before { background: var(--on); }

.rule { border-left: 4px solid var(--hue); padding-left: 14px; }
.rule b { font-size: 1.3em; line-height: 1.3; display: block; }
.body { display: grid; gap: 20px; }
.body > * { min-width: 0; }
.bar { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; }
.below { display: flex; gap: 16px; justify-content: space-between; align-items: start; }
#png { flex: none; }
canvas { display: block; width: 100%; touch-action: pan-y; border-radius: 12px; background: var(--stage); }
canvas:focus-visible { outline-offset: -2px; }
.muted, dt, th { color: var(--muted); font-size: 13px; font-weight: 400; }

.dims { display: grid; grid-template-columns: repeat(auto-fit, minmax(124px, 1fr)); gap: 6px 20px; }
.dims label { display: grid; grid-template-columns: 1.1em 1fr 1.2em; gap: 8px; align-items: center; }
.dims label:last-child { grid-template-columns: 1.1em auto 1fr; }
input[type=range] { width: 100%; min-width: 0; margin: 4px 0; accent-color: var(--hue); }
output { text-align: right; }
select { padding: 2px 6px; min-width: 4.5em; }
select:disabled { opacity: .5; cursor: default; }
option { background: var(--bg); color: var(--ink); }

.note:empty { display: none; }
.note { border: 1px dashed var(--muted); border-radius: 8px; padding: 6px 12px; }
.right { border: 1px solid var(--hue); }
#facts { display: grid; gap: 12px 28px; align-content: start; }
#more:empty { display: none; }
#facts > * { min-width: 0; display: grid; gap: 10px; align-content: start; }
dl { display: grid; grid-template-columns: repeat(4, auto); gap: 0 12px; justify-content: space-between; }
dt { grid-row: 1; }
dd { margin: 0; font-size: 1.25em; }
dd, td, th, output { font-variant-numeric: tabular-nums; }
code { display: block; font: 13px/1.7 ui-monospace, monospace; background: var(--tint); border-radius: 8px;
  padding: 8px 12px; overflow-wrap: anywhere; white-space: pre-wrap; }
summary { cursor: pointer; }
.scroll { max-height: 200px; overflow: auto; margin-top: 6px; }
table { width: 100%; border-collapse: collapse; text-align: right; font-size: 13px; }
th { position: sticky; top: 0; background: var(--bg); }
td { border-top: 1px solid var(--tint); padding: 1px 0; }
tr > :first-child { text-align: left; }
.picked td { background: var(--tint); font-weight: 600; }

#exercise { display: grid; gap: 12px; }
.row { display: flex; flex-wrap: wrap; gap: 8px; align-items: end; }
input[type=text] { width: 110px; cursor: text; }
@container (max-width: 460px) { .gx { font-size: 14px; padding: 12px; } fieldset span, button { padding: 3px 8px; }
  [data-name=norm] { gap: 6px; } [data-name=norm] span::before { display: none; } [data-name=show] { order: 1; } }
@container (min-width: 620px) { #facts { grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); } }
@container (min-width: 860px) { .body { grid-template-columns: 1fr minmax(356px, 32%); gap: 28px; } }
@media (forced-colors: active) { :checked + span { outline: 2px solid Highlight; } }`;

const radios = (name, legend, options) => `<fieldset data-name="${name}"><legend class="sr">${legend}</legend>
${options.map(([value, text, style = ""]) => `<label><input type="radio" name="${name}" value="${value}">` +
  `<span${style}>${text}</span></label>`).join("")}</fieldset>`;

const norms = Object.entries(NORMS).map(([key, { name, hue }]) => [key, name, ` style="--own: var(--${hue})"`]);
const sliders = AXES.map((axis) => `<label>${axis.toUpperCase()}
<input type="range" name="${axis}" min="1" max="${LIMITS[axis]}"><output></output></label>`).join("");

export const PAGE = `<style>${STYLE}</style><section class="gx" aria-label="Axis explorer">
${radios("norm", "Norm", norms)}
<p class="rule"><b id="title"></b><span id="rule"></span></p>
<div class="body"><div class="stage">
<div class="bar">${radios("view", "View", [["block", "Block"], ["slices", "Slices"]])}
${radios("show", "Show", [["mean", "Shared mean"], ["weight", "Shared weight"], ["dx", "dx"]])}</div>
<canvas tabindex="0" role="application" aria-label="Block of cells" aria-describedby="live keys"></canvas>
<div class="below"><p class="muted" id="keys"></p><button id="png">Save PNG</button></div>
</div><div class="panel">
${radios("task", "Task", [["", "Explore"], ["mark", "Mark the set"], ["count", "Count means"]])}
<div class="dims">${sliders}<label>G <select name="g"></select></label></div>
<p class="note" id="note" role="status"></p>
<div id="facts"><div><p id="where"></p><dl></dl><p id="xhat" class="muted"></p></div>
<div><code></code><p id="more"></p></div>
<details><summary></summary><div class="scroll" tabindex="0" role="region" aria-label="The cells of the set">
<table></table></div></details></div>
<div id="exercise"><div class="row"><label id="answer">Number of means
<input type="text" inputmode="numeric" autocomplete="off"></label>
<button id="check">Check</button><button id="another">New question</button></div>
<p id="verdict" class="note" role="status"></p></div>
<p class="sr" aria-live="polite" id="live"></p>
</div></div></section>`;
