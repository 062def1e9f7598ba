// Short messages in a corner, read out by screen readers.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { iconButton } from "./button.js";
import { icon } from "./icons.js";

const SHOWN_MS = 6000;

const region = h("div.toasts", { role: "status", "aria-live": "polite", "aria-atomic": "false" });
document.body.append(region);

/** Tells of something that worked. */
export function toast(text) {
  show(text, "check", "good");
}

/** Tells of something that did not. Aborted requests are nobody's news. */
export function toastError(error) {
  if (error?.name === "AbortError") return;
  show(error.message, "warning", "bad");
}

function show(text, symbol, kind) {
  const close = iconButton("close", t("action.close"), { onclick: () => element.remove() });
  const element = h("div.toast", { class: kind }, icon(symbol), h("p", text), close);
  // Above an open dialog too: what is modal hides everything outside of it.
  const modals = document.querySelectorAll("dialog[open]");
  (modals.length > 0 ? modals[modals.length - 1] : document.body).append(region);
  region.append(element);
  setTimeout(() => element.remove(), SHOWN_MS);
}
