/* A formula in a line of text that is wider than the line scrolls by itself; MathJax 3 cannot break it. */

function mark() {
  for (const formula of document.querySelectorAll("span.math")) {
    formula.classList.remove("scrolls");
    const line = formula.closest("p, li, dd, td, summary") ?? formula.parentElement;
    formula.classList.toggle("scrolls", formula.getBoundingClientRect().width > line.clientWidth);
  }
}

addEventListener("load", () => window.MathJax?.startup.promise.then(mark));
addEventListener("resize", mark);
