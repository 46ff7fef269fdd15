// data_visualization, drawn as bars with their figures: readable without colour and without a drawing library.

import { h } from "./dom.js";
import { textObject } from "./mrkdwn.js";

const title = (value) => (value && typeof value === "object" ? textObject(value) : String(value ?? ""));

/** [{name, points: [[label, value]]}] of a pie, bar, area or line chart. */
function series(drawing) {
  if (drawing.segments) return [{ name: "", points: drawing.segments.map((s) => [s.label, s.value]) }];
  return (drawing.series ?? []).map((s) => ({
    name: s.name,
    points: (s.data ?? []).map((point) => [point.label, point.value]),
  }));
}

export function chart(block) {
  const all = series(block.chart ?? {});
  const top = Math.max(1e-9, ...all.flatMap((s) => s.points.map(([, value]) => Number(value) || 0)));
  const bar = ([label, value]) => {
    const fillBar = h("span", { class: "bar-fill" });
    fillBar.style.setProperty("width", `${Math.max(0, Math.min(100, (100 * (Number(value) || 0)) / top))}%`);
    return h(
      "div",
      { class: "bar" },
      h("span", { class: "bar-label" }, label),
      h("span", { class: "bar-track" }, fillBar),
      h("span", { class: "bar-value" }, value),
    );
  };
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, title(block.title)),
    all.map((s) =>
      h("div", { class: "chart-series" }, s.name ? h("div", { class: "chart-name" }, s.name) : null, s.points.map(bar)),
    ),
  );
}
