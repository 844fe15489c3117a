/* What a reader would stumble over on a page: returns a list of sentences, empty if all is well. */
() => {
  const found = [];
  const parent = (element) => element.parentElement ?? element.getRootNode().host ?? null;
  /** All elements below a root, those in shadow roots included. */
  const all = (root) =>
    [...root.querySelectorAll("*")].flatMap((element) => [element, ...(element.shadowRoot ? all(element.shadowRoot) : [])]);
  for (const folded of all(document.body).filter((element) => element.matches("details"))) folded.open = true;
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`${innerWidth} px wide, and ${wide} px more than that`);
  /** Whether what sticks out of an element is scrolled to, or is a drawer that waits beside the page.
   * The theme lets the whole text scroll, which is what should not happen. */
  const reached = (element) =>
    element !== null && !element.matches(".content") && (element.matches(".sidebar-drawer, .toc-drawer, .overlay, mjx-assistive-mml") ||
      ["auto", "scroll"].includes(getComputedStyle(element).overflowX) || reached(parent(element)));
  for (const element of all(document.body)) {
    const { right, width, height } = element.getBoundingClientRect();
    if (width > 1 && height > 1 && right > innerWidth + 1 && !reached(parent(element)) && !reached(element)) {
      found.push(`<${element.tagName} class="${element.className}"> reaches ${Math.round(right - innerWidth)} px out of the page`);
    }
  }

  const scratch = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  /** Any CSS colour as [red, green, blue, alpha]. */
  const bytes = (colour) => {
    scratch.clearRect(0, 0, 1, 1);
    scratch.fillStyle = colour;
    scratch.fillRect(0, 0, 1, 1);
    return [...scratch.getImageData(0, 0, 1, 1).data];
  };
  const cache = new Map();
  const known = (colour) => cache.get(colour) ?? cache.set(colour, bytes(colour)).get(colour);
  const over = (top, below) => [0, 1, 2].map((k) => (top[k] * top[3] + below[k] * (255 - top[3])) / 255);
  /** What is seen behind an element: the backgrounds of all that it is in, from outside inwards. */
  const ground = (element) =>
    element === null ? [255, 255, 255] : over(known(getComputedStyle(element).backgroundColor), ground(parent(element)));
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);

  /** What stands in an element itself, and not in those inside it. */
  const own = (element) => [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("").trim();
  for (const element of all(document.body)) {
    const text = own(element);
    if (!text || element.closest("script, style, svg, mjx-assistive-mml, option, :disabled")) continue;
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const style = getComputedStyle(element);
    const behind = ground(element);
    const [a, b] = [luminance(over(known(style.color), behind)), luminance(behind)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 600);
    if (ratio < (large ? 3 : 4.5)) {
      found.push(`“${text.slice(0, 30)}” has a contrast of ${ratio.toFixed(2)}`);
    }
  }
  return found;
}
