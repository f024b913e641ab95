"use strict";
// Draws every plot from the JSON inside it. The page works without this: captions and tables hold the numbers.
(() => {
  const plots = [...document.querySelectorAll(".plot")];
  const narrow = window.matchMedia("(max-width: 520px)");
  const config = { displayModeBar: false, responsive: true, showTips: false };

  const draw = async (plot) => {
    const spec = JSON.parse(plot.querySelector("script").textContent);
    if (narrow.matches) {
      // A finger scrolls the page; labels take less room.
      spec.layout.dragmode = false;
      spec.layout.font.size = 12;
      spec.layout.margin.l = 48;
    }
    plot.dataset.height = spec.layout.height;
    plot.dataset.font = spec.layout.font.size;
    plot.replaceChildren();
    plot.style.minHeight = "";
    await Plotly.newPlot(plot, spec.data, spec.layout, config);
    plot.dataset.drawn = "true";
  };

  // On paper a plot is as wide as its column, which is known only once the styles for print apply.
  const fit = () => {
    for (const plot of plots) {
      const width = plot.parentElement.clientWidth;
      const height = Math.min(Number(plot.dataset.height), Math.max(0.85 * width, 190));
      if (width) Plotly.relayout(plot, { width, height, "font.size": width < 280 ? 9 : 11 });
    }
  };
  const free = () => {
    for (const plot of plots) {
      const height = Number(plot.dataset.height);
      Plotly.relayout(plot, { width: null, height, autosize: true, "font.size": Number(plot.dataset.font) });
    }
  };

  window.addEventListener("beforeprint", fit);
  window.addEventListener("afterprint", free);
  window.matchMedia("print").addEventListener("change", (change) => (change.matches ? fit() : free()));
  Promise.all(plots.map(draw)).then(() => { document.documentElement.dataset.ready = "true"; });
})();
