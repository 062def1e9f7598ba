// Modal dialogs on the browser's own: it keeps the focus inside, and Escape closes.

import { h, uniqueId } from "../dom.js";
import { t } from "../i18n.js";
import { button, iconButton } from "./button.js";
import { toastError } from "./toast.js";

/**
 * Opens a dialog. `content` is an element or a function of `close`. With `isSticky`, Escape and a
 * click outside do not close: for what is shown only once.
 *
 * Resolves with what `close` was called with, `null` when closed otherwise.
 */
export function openDialog({ title, lead = null, content, isSticky = false, kind = "" }) {
  const { promise, resolve } = Promise.withResolvers ? Promise.withResolvers() : deferred();
  const opener = document.activeElement;
  const heading = h("h2", { id: uniqueId("dialog") }, title);
  const close = (value = null) => {
    result = value;
    dialog.close();
  };
  let result = null;
  const dialog = h(
    "dialog",
    { "aria-labelledby": heading.id, class: kind },
    h("header.dialog-head", heading, !isSticky && iconButton("close", t("action.close"), { onclick: () => close() })),
    lead && h("p.lead", lead),
    typeof content === "function" ? content(close) : content,
  );
  dialog.addEventListener("cancel", (event) => {
    if (isSticky && event.target === dialog) event.preventDefault();
  });
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog && !isSticky && isOutside(dialog, event)) close();
  });
  dialog.addEventListener("close", (event) => {
    if (event.target !== dialog) return;
    const toasts = dialog.querySelector(".toasts");
    if (toasts) document.body.append(toasts);
    dialog.remove();
    if (opener?.isConnected) opener.focus();
    resolve(result);
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}

/** Asks before `action` is done; resolves once it is, with whether it was. */
export function confirmDialog({ title, text, label, action, kind = "danger" }) {
  return openDialog({
    title,
    lead: text,
    kind: "small",
    content: (close) =>
      h(
        "div.actions",
        button(t("action.cancel"), { onclick: () => close(false) }),
        button(label, {
          kind,
          name: "confirm",
          onclick: async () => {
            try {
              await action();
              close(true);
            } catch (error) {
              toastError(error);
            }
          },
        }),
      ),
  });
}

function isOutside(dialog, { clientX, clientY }) {
  const box = dialog.getBoundingClientRect();
  return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}

function deferred() {
  let resolve;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}
