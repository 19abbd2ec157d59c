// SPDX-License-Identifier: Apache-2.0
// Draws the figures of the page's data block, each on its own axes.
(() => {
  "use strict";
  const text = document.getElementById("figures").textContent;
  const config = { responsive: true, displayModeBar: false };

  // Figures name their colours as CSS variables; they become values as the text is parsed.
  const figures = () => {
    const style = getComputedStyle(document.documentElement);
    return Object.entries(JSON.parse(text, (_key, value) => {
      const name = typeof value === "string" && /^var\((--[\w-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }));
  };

  const draw = () => Promise.all(figures().map(([id, { data, layout }]) =>
    Plotly.react(document.getElementById(id), data, layout, config)));

  draw().then(() => { document.documentElement.dataset.charts = "drawn"; });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
