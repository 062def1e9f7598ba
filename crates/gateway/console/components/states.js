// What a place shows while there is nothing, not yet, or no more.

import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { button } from "./button.js";
import { icon } from "./icons.js";

/** Grey bars in the shape of what comes. */
export function skeleton(lines = 4) {
  const widths = ["92%", "78%", "86%", "64%", "80%", "70%"];
  const bars = Array.from({ length: lines }, (_, index) => h("span.bone", { vars: { "--width": widths[index % widths.length] } }));
  return h("div.skeleton", { role: "status", "aria-label": t("state.loading") }, bars);
}

/** Nothing here: why, and what to do. */
export function emptyState({ symbol = "overview", title, text = null, action = null }) {
  return h("div.state.empty", h("div.state-symbol", icon(symbol)), h("p.state-title", title), text && h("p", text), action);
}

/** It did not work: what the server said, and another try. */
export function errorState(error, retry) {
  return h(
    "div.state.failed",
    { role: "alert" },
    h("div.state-symbol", icon("warning")),
    h("p.state-title", t("state.failed")),
    h("p", error.message),
    retry && button(t("action.retry"), { symbol: "retry", onclick: retry }),
  );
}

/**
 * A place that `load` fills: first a skeleton, then `show` of what came, or the error with a button
 * to try again. `reload` of the returned element does it anew, keeping what is shown meanwhile.
 */
export function loaded({ load, show, lines = 4, signal, tag = "div.loaded" }) {
  const place = h(tag);
  let turn = 0;
  place.reload = async (isQuiet = false) => {
    const mine = ++turn;
    if (!isQuiet) replace(place, skeleton(lines));
    place.setAttribute("aria-busy", "true");
    try {
      const data = await load();
      if (mine === turn) replace(place, show(data));
    } catch (error) {
      if (error.name === "AbortError" || mine !== turn || signal?.aborted) return;
      replace(place, errorState(error, () => place.reload()));
    } finally {
      if (mine === turn) place.removeAttribute("aria-busy");
    }
  };
  void place.reload();
  return place;
}
