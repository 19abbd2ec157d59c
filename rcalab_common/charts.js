// SPDX-License-Identifier: Apache-2.0
// Draws the figures of the page's data block, and keeps zoom and pointer together over all charts.
(() => {
  "use strict";
  const text = document.getElementById("figures").textContent;
  // Where a finger drags, it scrolls the page; zooming is for pointers.
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const config = { responsive: true, displayModeBar: false, doubleClick: "reset" };

  // Figures name their colours as CSS variables; they become values as the text is parsed.
  const figures = () => {
    const style = getComputedStyle(document.documentElement);
    return Object.entries(JSON.parse(text, (_key, value) => {
      const name = typeof value === "string" && /^var\((--[\w-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }));
  };

  const draw = () => Promise.all(figures().map(([id, { data, layout }]) => {
    layout.dragmode = touch ? false : "zoom";
    layout.xaxis.fixedrange = touch;
    layout.yaxis.fixedrange = true;
    layout.uirevision = "kept over a change of colours";
    return Plotly.react(document.getElementById(id), data, layout, config);
  }));

  const join = (chart, others) => {
    chart.on("plotly_relayout", () => {
      const range = chart.layout.xaxis.range;
      for (const other of others) {
        // The others' answer finds the ranges equal, so it ends here.
        if (String(other.layout.xaxis.range) !== String(range)) {
          Plotly.relayout(other, { "xaxis.range": [...range] });
        }
      }
    });
    chart.on("plotly_hover", ({ points }) => {
      for (const other of others) Plotly.Fx.hover(other, { xval: points[0].x }, "xy", true);
    });
    chart.on("plotly_unhover", () => others.forEach((other) => Plotly.Fx.unhover(other)));
  };

  draw().then((charts) => {
    const axis = (chart) => chart.layout.meta.axis;
    for (const chart of charts) {
      join(chart, charts.filter((other) => other !== chart && axis(other) === axis(chart)));
    }
    document.documentElement.dataset.charts = "drawn";
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
