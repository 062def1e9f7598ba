// Where the next message is written, with pictures and sound where the model can read them.

import { button, iconButton } from "../../components/button.js";
import { toastError } from "../../components/toast.js";
import { h, replace } from "../../dom.js";
import { bytes, t } from "../../i18n.js";

/** Larger files are refused here, before they fill the page's memory. */
const FILE_BYTES_MAX = 20 * 1000 * 1000;

const KINDS = {
  image: { accept: "image/png,image/jpeg,image/webp,image/gif", words: "playground.add_image" },
  audio: { accept: "audio/wav,audio/mpeg,.wav,.mp3", words: "playground.add_audio" },
};

/** `onsend` gets `{text, attachments}`; `onstop` ends the answer that is coming. */
export function composer({ onsend, onstop }) {
  let attached = [];
  let isBusy = false;
  const text = h("textarea", { rows: 2, "aria-label": t("playground.message"), placeholder: t("playground.placeholder"), autofocus: true, name: "message" });
  const files = h("div.attached");
  const send = button(t("playground.send"), { kind: "primary", symbol: "send", type: "submit", name: "send" });
  const stop = button(t("playground.stop"), { kind: "plain", symbol: "stop", name: "stop", onclick: onstop });
  stop.hidden = true;
  const adders = h("span.adders");
  const submit = () => {
    if (isBusy || (text.value.trim() === "" && attached.length === 0)) return text.focus();
    onsend({ text: text.value.trim(), attachments: attached });
    text.value = "";
    attached = [];
    return drawFiles();
  };
  const drawFiles = () =>
    replace(
      files,
      attached.map((file) => h("span.attached-file", file.name, iconButton("close", t("playground.remove_file", { name: file.name }), { onclick: () => {
        attached = attached.filter((other) => other !== file);
        drawFiles();
      } }))),
    );
  const add = (file) => {
    attached.push(file);
    drawFiles();
  };
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
    if (event.key === "Escape" && isBusy) onstop();
  });
  const element = h("form.composer", { "aria-label": t("playground.message"), onsubmit: (event) => {
    event.preventDefault();
    submit();
  } }, files, text, h("div.composer-foot", adders, h("span.hint", t("playground.keys")), stop, send));
  return {
    element,
    focus: () => text.focus(),
    setBusy: (value) => {
      isBusy = value;
      send.hidden = value;
      stop.hidden = !value;
      element.setAttribute("aria-busy", String(value));
    },
    /** Offers only what the model can read. */
    setCapabilities: (names) => replace(adders, Object.keys(KINDS).filter((kind) => names.includes(kind)).map((kind) => adder(kind, add))),
  };
}

function adder(kind, add) {
  const input = h("input.visually-hidden", { type: "file", accept: KINDS[kind].accept, tabindex: "-1", "aria-hidden": "true", onchange: () => {
    for (const file of input.files) readFile(file, kind).then(add, toastError);
    input.value = "";
  } });
  return [input, iconButton(kind, t(KINDS[kind].words), { onclick: () => input.click() })];
}

async function readFile(file, kind) {
  if (file.size > FILE_BYTES_MAX) throw new Error(t("playground.too_large", { name: file.name, limit: bytes(FILE_BYTES_MAX) }));
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
  const format = /wav/.test(file.type) || file.name.endsWith(".wav") ? "wav" : "mp3";
  return { kind, name: file.name, address, format, data: address.slice(address.indexOf(",") + 1) };
}
