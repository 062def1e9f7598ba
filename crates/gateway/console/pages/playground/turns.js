// How a conversation looks.

import { button, iconButton } from "../../components/button.js";
import { copyButton } from "../../components/copy.js";
import { areaField } from "../../components/form.js";
import { icon } from "../../components/icons.js";
import { badge } from "../../components/layout.js";
import { prose } from "../../components/prose.js";
import { h } from "../../dom.js";
import { duration, speed, t } from "../../i18n.js";
import { seenSpeed } from "./answer.js";

/** One turn. `retry` asks for the answer anew; `null` where that makes no sense. */
export function turnElement(turn, { retry = null } = {}) {
  if (turn.role === "user") return h("article.turn.user", { "aria-label": t("playground.you") }, attachments(turn), turn.text && h("p", turn.text));
  if (turn.role === "tool") return h("article.turn.tool", { "aria-label": t("playground.result_of", { name: turn.name }) }, h("header", icon("tool"), h("code", turn.name), h("span.muted", t("playground.result"))), h("pre", { tabindex: "0" }, turn.text));
  return h(
    "article.turn.assistant",
    { "aria-label": t("playground.answer"), "aria-busy": String(turn.isPending) },
    turn.text && prose(turn.text),
    turn.isPending && turn.text === "" && turn.calls.length === 0 && h("span.thinking", { "aria-hidden": "true" }, h("i"), h("i"), h("i")),
    turn.calls.map(callElement),
    turn.error && h("p.turn-error", { role: "alert" }, icon("warning"), h("span", turn.error)),
    !turn.isPending && footer(turn, retry),
  );
}

function attachments({ attachments: files = [] }) {
  return files.map(({ kind, address, name }) => (kind === "image" ? h("img.attachment", { src: address, alt: name }) : h("audio.attachment", { src: address, controls: true, "aria-label": name })));
}

function callElement({ function: { name, arguments: text } }) {
  return h("div.call", h("header", icon("tool"), h("code", name), h("span.muted", t("playground.calls"))), h("pre", { tabindex: "0", "aria-label": t("playground.arguments_of", { name }) }, pretty(text)));
}

/** JSON that is whole is laid out; what is still coming stays as it is. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function footer(turn, retry) {
  const { usage, firstMs, startedMs, finish } = turn;
  const rate = seenSpeed(turn);
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  const parts = [
    usage && t("playground.read", { count: usage.prompt_tokens }),
    cached > 0 && t("usage.of_which_cached", { count: cached }),
    usage && t("playground.made", { count: usage.completion_tokens }),
    rate !== null && speed(rate),
    firstMs !== null && t("playground.first", { time: duration(firstMs - startedMs) }),
  ].filter(Boolean);
  const ends = { length: "warn", stopped: "warn" };
  return h(
    "footer",
    h("span.turn-facts", parts.map((part) => h("span", part)), finish in ends && badge(t(`playground.end_${finish}`), ends[finish])),
    h("span.turn-actions", turn.text && copyButton(() => turn.text), retry && iconButton("retry", t("playground.again"), { onclick: retry, "data-name": "again" })),
  );
}

/** Where the results of `calls` are written; `onsend` gets the turns of the tools. */
export function resultsForm(calls, onsend) {
  const fields = calls.map((call) => areaField({ name: call.id, label: t("playground.result_of", { name: call.function.name }), value: "", rows: 2, isCode: true, isRequired: true, placeholder: '{"temperature": 21}' }));
  const send = (event) => {
    event.preventDefault();
    const wrong = fields.filter((field) => {
      const problem = field.check();
      field.fail(problem);
      return problem !== null;
    });
    if (wrong.length > 0) return wrong[0].input.focus();
    return onsend(calls.map((call, index) => ({ role: "tool", callId: call.id, name: call.function.name, text: fields[index].read() })));
  };
  return h("form.results", { "aria-label": t("playground.results"), novalidate: true, onsubmit: send }, h("p.hint", t("playground.results_hint")), fields.map(({ element }) => element), button(t("playground.send_results", { count: calls.length }), { type: "submit", kind: "primary", name: "send-results" }));
}
