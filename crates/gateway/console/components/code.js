// Code to read and to copy, in one or several languages.

import { h, replace, uniqueId } from "../dom.js";
import { copyButton } from "./copy.js";

/** A block of code with a button to copy it. */
export function codeBlock(text, label) {
  return h("div.code-block", h("pre", { tabindex: "0", "aria-label": label }, h("code", text)), copyButton(() => text));
}

/** Tabs of code: `[[name, text], …]`. The one chosen last is the first shown elsewhere too. */
export function codeTabs(variants, label) {
  const panel = h("div.tab-panel", { role: "tabpanel", id: uniqueId("panel") });
  const tabs = variants.map(([name, text]) =>
    h("button.tab", { type: "button", role: "tab", id: uniqueId("tab"), "aria-controls": panel.id, onclick: () => choose(name) }, name),
  );
  const choose = (name) => {
    codeTabs.last = name;
    const at = Math.max(0, variants.findIndex(([other]) => other === name));
    tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === at));
      tab.tabIndex = index === at ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", tabs[at].id);
    replace(panel, codeBlock(variants[at][1], `${label}: ${variants[at][0]}`));
  };
  const list = h("div.tabs", { role: "tablist", "aria-label": label, onkeydown: (event) => moveAmong(tabs, event) }, tabs);
  choose(codeTabs.last ?? variants[0][0]);
  return h("div.code-tabs", list, panel);
}

/** Arrow keys go from tab to tab, as readers of the screen expect. */
export function moveAmong(tabs, event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const at = tabs.indexOf(document.activeElement);
  if (step === undefined || at < 0) return;
  event.preventDefault();
  const next = tabs[(at + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
}
