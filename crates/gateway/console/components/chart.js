// Columns by day, stacked. Drawn at the width there is, so that letters stay letters; the numbers
// are read with pointer or arrow keys, and stand in a table beside it.

import { h, replace, svg } from "../dom.js";
import { compact } from "../i18n.js";

const HEIGHT = 220;
const EDGE = { top: 10, right: 18, bottom: 26 };

/** Pixels that a letter of the axis takes at most, and those between the axis and its letters. */
const LETTER = 7.2;
const GAP = 8;

/**
 * `columns` are `{label, short, values: [n…]}`, `series` their names in order of stacking. `write`
 * puts a value in words, `axis` one of the axis. `isWhole` keeps the axis to whole numbers.
 */
export function columnChart({ columns, series, label, write, axis = compact, isWhole = true }) {
  const readout = h("p.chart-readout", { role: "status", "aria-live": "polite" });
  const plot = h("div.chart-plot", { tabindex: "0", role: "img", "aria-label": label });
  const axes = axesOf(columns, axis, isWhole);
  let chosen = columns.length - 1;
  const choose = (index) => {
    chosen = Math.max(0, Math.min(columns.length - 1, index));
    const { label: day, values } = columns[chosen];
    const parts = series.map((name, at) => h("span", h("i.swatch", { class: `series-${at}` }), `${name} `, h("strong", write(values[at]))));
    replace(readout, h("span.chart-day", day), parts);
    plot.querySelectorAll(".column").forEach((column, at) => column.classList.toggle("chosen", at === chosen));
  };
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    choose(chosen + step);
  });
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const inner = box.width - axes.left - EDGE.right;
    choose(Math.floor(((event.clientX - box.left - axes.left) / inner) * columns.length));
  });
  const draw = () => {
    replace(plot, drawing(columns, plot.clientWidth, axes));
    choose(chosen);
  };
  new ResizeObserver(draw).observe(plot);
  return h("div.chart", readout, plot);
}

/** Where the axis has lines, their words, and the room that these take at the left. */
function axesOf(columns, axis, isWhole) {
  const highest = Math.max(0, ...columns.map(({ values }) => values.reduce((sum, value) => sum + value, 0)));
  const ticks = niceTicks(highest, isWhole).map((value) => ({ value, words: axis(value) }));
  return { ticks, left: Math.ceil(Math.max(...ticks.map(({ words }) => words.length)) * LETTER) + GAP };
}

function drawing(columns, width, { ticks, left }) {
  const inner = { width: Math.max(10, width - left - EDGE.right), height: HEIGHT - EDGE.top - EDGE.bottom };
  const top = ticks[ticks.length - 1].value;
  const y = (value) => EDGE.top + inner.height * (1 - value / top);
  const slot = inner.width / columns.length;
  const lines = ticks.map(({ value, words }) => [
    svg("line.grid", { x1: left, x2: left + inner.width, y1: y(value), y2: y(value) }),
    svg("text.tick", { x: left - GAP, y: y(value) + 4, "text-anchor": "end" }, words),
  ]);
  const labelEvery = Math.ceil(56 / slot);
  const bars = columns.map((column, index) => {
    const x = left + slot * index;
    const isLabelled = (columns.length - 1 - index) % labelEvery === 0;
    const text = isLabelled && svg("text.tick", { x: x + slot / 2, y: HEIGHT - 6, "text-anchor": "middle" }, column.short);
    return svg("g.column", svg("rect.slot", { x, y: EDGE.top, width: slot, height: inner.height }), stack(column.values, x, slot, y), text);
  });
  return svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" }, lines, bars);
}

function stack(values, x, slot, y) {
  const width = Math.max(2, Math.min(34, slot * 0.68));
  let below = 0;
  return values.map((value, index) => {
    if (value <= 0) return null;
    const [low, high] = [y(below), y(below + value)];
    below += value;
    const height = Math.max(1, low - high);
    return svg("rect.bar", { class: `series-${index}`, x: x + (slot - width) / 2, y: low - height, width, height, rx: Math.min(2, height / 2) });
  });
}

/** Round values from 0 to at least `highest`; whole ones for what is counted. */
export function niceTicks(highest, isWhole) {
  if (!(highest > 0)) return [0, 1];
  const rough = highest / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const nice = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const step = isWhole ? Math.max(1, Math.ceil(nice)) : nice;
  const count = Math.ceil(highest / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => index * step);
}

/** A line of values without axes: how something went lately. */
export function sparkline(values, label) {
  const [width, height] = [120, 32];
  const highest = Math.max(1e-9, ...values);
  const at = (value, index) => `${((index / Math.max(1, values.length - 1)) * width).toFixed(1)},${(height - 2 - (value / highest) * (height - 4)).toFixed(1)}`;
  return svg(
    "svg.sparkline",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    values.length > 1 && svg("polyline", { points: values.map(at).join(" ") }),
  );
}
