// Buttons, and links that look like them.

import { h, replace } from "../dom.js";
import { icon } from "./icons.js";

/**
 * A button. `kind` is `primary`, `plain`, `quiet` or `danger`; with `busy`, it waits while the
 * promise of `onclick` does.
 */
export function button(label, { kind = "plain", name = null, symbol = null, onclick, type = "button", ...rest } = {}) {
  const element = h("button.button", { class: kind, type, ...rest }, symbol && icon(symbol), h("span", label));
  if (name !== null) element.dataset.name = name;
  if (onclick) element.addEventListener("click", (event) => void whileBusy(element, () => onclick(event)));
  return element;
}

/** A button with a drawing only; `label` is what is read. */
export function iconButton(symbol, label, { onclick, kind = "quiet", ...rest } = {}) {
  const element = h("button.icon-button", { class: kind, type: "button", "aria-label": label, title: label, ...rest }, icon(symbol));
  if (onclick) element.addEventListener("click", (event) => void whileBusy(element, () => onclick(event)));
  return element;
}

/** A link that looks like a button. */
export function linkButton(label, href, { kind = "plain", symbol = null, ...rest } = {}) {
  return h("a.button", { class: kind, href, ...rest }, symbol && icon(symbol), h("span", label));
}

/** Marks `element` as busy while `work` does, and takes no second click meanwhile. */
export async function whileBusy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  const result = work();
  if (!(result instanceof Promise)) return;
  element.setAttribute("aria-busy", "true");
  try {
    await result;
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** Gives a button another drawing and label for a moment. */
export function flash(element, symbol, label, milliseconds = 1600) {
  const before = [...element.childNodes];
  replace(element, icon(symbol), label && h("span", label));
  setTimeout(() => replace(element, before), milliseconds);
}
