// To the clipboard, also where the page is not from a secure origin.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { button, flash, iconButton } from "./button.js";
import { toastError } from "./toast.js";

/** A button that copies what `text()` says at that time. */
export function copyButton(text, { label = null, ...rest } = {}) {
  const copy = async () => {
    try {
      await write(text());
      flash(element, "check", label && t("action.copied"));
      announce.textContent = t("action.copied");
    } catch (error) {
      toastError(error);
    }
  };
  const announce = h("span.visually-hidden", { role: "status" });
  const element =
    label === null
      ? iconButton("copy", t("action.copy"), { onclick: copy, ...rest })
      : button(label, { symbol: "copy", onclick: copy, ...rest });
  return h("span.copy", element, announce);
}

async function write(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = h("textarea.visually-hidden", { "aria-hidden": "true", tabindex: "-1", value: text });
  // Inside of a dialog: outside of one, nothing can be selected.
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  const before = document.activeElement;
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  if (!done) throw new Error(t("error.copy"));
}
