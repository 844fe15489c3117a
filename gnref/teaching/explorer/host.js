/* Bring every <div class="gnref-explorer" data-state='{...}'> of a static page to life.
 *
 * <script type="module" src="host.js"></script>, with explorer.min.js beside it. A division has the picture
 * that gnref.teaching.explorer.explorer_html put into it; it stays if anything here fails, and it is what is
 * seen without scripts. With data-address, the page's address tells what is shown, and is kept up to date:
 * ?norm=gn&n=2&c=6&h=2&w=2&g=3. One division of a page may have it. */

import { mount } from "./explorer.min.js";

/** What the division is to show; a state that cannot be read is no reason to show nothing. */
function stateOf(division) {
  try {
    return JSON.parse(division.dataset.state ?? "{}");
  } catch {
    return {};
  }
}

/** Mount the explorer in a division, once. Others find it as division.explorer. */
function bringToLife(division) {
  if (division.explorer) return;
  division.explorer = mount(division, { ...stateOf(division), address: "address" in division.dataset });
}

for (const division of document.querySelectorAll(".gnref-explorer")) bringToLife(division);
