/* Pointer and touch: a click acts on a cell; a drag turns the block or, in slices, marks what it passes. */

const FAR = 5; // pixels that make a drag of a click

/** Follow the pointer over a canvas. The handlers say what to do:
 *
 * under(x, y), the cell there or -1; hover(i); act(i) for a click; turn(dx, dy); brushing(), whether a drag
 * marks; marked(i); mark(i, value). */
export function followPointer(canvas, listen, handlers) {
  let drag = null;
  const cell = ({ offsetX, offsetY }) => handlers.under(offsetX, offsetY);
  listen(canvas, "pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = begin(handlers, cell(event), event);
  });
  listen(canvas, "pointermove", (event) => {
    if (!drag) handlers.hover(cell(event));
    else if (drag.brush) brush(handlers, drag, cell(event));
    else pull(handlers, drag, event);
  });
  listen(canvas, "pointerup", (event) => {
    const i = cell(event);
    if (drag && !drag.moved && !drag.brush && i >= 0) handlers.act(i);
    drag = null;
  });
  listen(canvas, "pointercancel", () => (drag = null));
  listen(canvas, "pointerleave", () => handlers.hover(-1));
}

/** The first cell of a brush says whether it marks or wipes. */
function begin(handlers, i, { clientX: x, clientY: y }) {
  const drag = { x, y, moved: false, brush: handlers.brushing() };
  if (drag.brush && i >= 0) {
    drag.value = !handlers.marked(i);
    handlers.mark(i, drag.value);
  }
  return drag;
}

function brush(handlers, { value }, i) {
  if (i >= 0 && value !== undefined && handlers.marked(i) !== value) handlers.mark(i, value);
}

function pull(handlers, drag, { clientX: x, clientY: y }) {
  const [dx, dy] = [x - drag.x, y - drag.y];
  if (!drag.moved && Math.hypot(dx, dy) <= FAR) return;
  Object.assign(drag, { moved: true, x, y });
  handlers.turn(dx, dy);
}
