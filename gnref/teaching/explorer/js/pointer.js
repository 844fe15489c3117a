/* Pointer and touch: a click acts on a cell; a drag turns the block or, in slices, marks what it passes. */

const FAR = 5; // pixels that make a drag of a click

/** Follow the pointer over a canvas. The hand says what to do:
 *
 * under(x, y), the cell there or -1; hover(i); act(i) for a click; turn(dx, dy); brushing(), whether a drag
 * marks; marked(i); mark(i, value). */
export function followPointer(canvas, listen, hand) {
  let drag = null;
  const cell = ({ offsetX, offsetY }) => hand.under(offsetX, offsetY);
  listen(canvas, "pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = begin(hand, cell(event), event);
  });
  listen(canvas, "pointermove", (event) => {
    if (!drag) hand.hover(cell(event));
    else if (drag.brush) brush(hand, drag, cell(event));
    else pull(hand, drag, event);
  });
  listen(canvas, "pointerup", (event) => {
    const i = cell(event);
    if (drag && !drag.moved && !drag.brush && i >= 0) hand.act(i);
    drag = null;
  });
  listen(canvas, "pointercancel", () => (drag = null));
  listen(canvas, "pointerleave", () => hand.hover(-1));
}

/** The first cell of a brush says whether it marks or wipes. */
function begin(hand, i, { clientX: x, clientY: y }) {
  const drag = { x, y, moved: false, brush: hand.brushing() };
  if (drag.brush && i >= 0) {
    drag.value = !hand.marked(i);
    hand.mark(i, drag.value);
  }
  return drag;
}

function brush(hand, { value }, i) {
  if (i >= 0 && value !== undefined && hand.marked(i) !== value) hand.mark(i, value);
}

function pull(hand, drag, { clientX: x, clientY: y }) {
  const [dx, dy] = [x - drag.x, y - drag.y];
  if (!drag.moved && Math.hypot(dx, dy) <= FAR) return;
  Object.assign(drag, { moved: true, x, y });
  hand.turn(dx, dy);
}
