// What every page is made of: its heading, cards, figures.

import { h } from "../dom.js";

/** A page with its heading. `actions` stand beside it. */
export function page({ title, lead = null, actions = null }, ...content) {
  return h("div.page", h("header.page-head", h("div", h("h1", { tabindex: "-1" }, title), lead && h("p.lead", lead)), actions && h("div.page-actions", actions)), content);
}

/** A part of a page with a heading of its own. */
export function card({ title = null, hint = null, actions = null, kind = "" }, ...content) {
  const head = title && h("header.card-head", h("div", h("h2", title), hint && h("p.hint", hint)), actions && h("div.card-actions", actions));
  return h("section.card", { class: kind }, head, content);
}

/** A figure with what it counts. */
export function figure(label, value, note = null) {
  return h("div.figure", h("dt", label), h("dd", h("span.figure-value", value), note && h("span.figure-note", note)));
}

/** Figures beside each other. */
export function figures(...parts) {
  return h("dl.figures", parts);
}

/** A word in a coloured frame. `kind` is `good`, `bad`, `warn` or nothing. */
export function badge(text, kind = "") {
  return h("span.badge", { class: kind }, text);
}

/** How full something is, 0 to 1. */
export function meter(share, label, kind = "") {
  const value = Math.max(0, Math.min(1, share));
  const attributes = { role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(value * 100), "aria-label": label };
  return h("div.meter", { ...attributes, class: kind, vars: { "--share": `${(value * 100).toFixed(1)}%` } }, h("span"));
}

/** Terms and what they are. */
export function facts(pairs) {
  return h("dl.facts", pairs.filter(Boolean).map(([term, value]) => [h("dt", term), h("dd", value)]));
}
