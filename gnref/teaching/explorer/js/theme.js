/* Light or dark, and the colours of the page. */

import { inkOn, mix, PALETTE } from "./colours.js";
import { NORMS } from "./sets.js";

/** What the page says of its colours: Sphinx themes, JupyterLab, Visual Studio Code, or else the system. */
export function themeOfPage() {
  const { theme, jpThemeLight, vscodeThemeKind } = { ...document.documentElement.dataset, ...document.body.dataset };
  if (theme === "light" || theme === "dark") return theme;
  if (jpThemeLight) return jpThemeLight === "true" ? "light" : "dark";
  if (vscodeThemeKind) return vscodeThemeKind.endsWith("light") ? "light" : "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Give an element the colours of the theme and of the norm. */
export function dress(element, { s, theme }) {
  const { background: bg, ink, muted, tints, ...hues } = PALETTE[theme];
  const hue = hues[NORMS[s.norm].hue];
  const shades = { stage: 0.05, tint: 0.1, line: 0.35 };
  for (const name in shades) shades[name] = mix(bg, muted, shades[name]);
  const colours = { bg, ink, muted, hue, on: inkOn(hue), ...shades, ...hues };
  for (const [name, value] of Object.entries(colours)) element.style.setProperty(`--${name}`, value);
  element.style.colorScheme = theme;
}

/** Tell of every change of the page's colours, until the signal stops it. */
export function watchTheme(listen, signal, changed) {
  listen(matchMedia("(prefers-color-scheme: dark)"), "change", changed);
  const observer = new MutationObserver(changed);
  for (const node of [document.documentElement, document.body]) observer.observe(node, { attributes: true });
  signal.addEventListener("abort", () => observer.disconnect());
}
