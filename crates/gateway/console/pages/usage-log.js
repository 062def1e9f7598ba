// Every call, with filters.

import { api } from "../api.js";
import { button } from "../components/button.js";
import { copyButton } from "../components/copy.js";
import { openDialog } from "../components/dialog.js";
import { badge, card, facts } from "../components/layout.js";
import { emptyState } from "../components/states.js";
import { pagedTable } from "../components/table.js";
import { h, uniqueId } from "../dom.js";
import { duration, exactTime, money, number, speed, t } from "../i18n.js";
import { session } from "../session.js";
import { speedOf } from "../usage-data.js";

/** What the log's `finish` says, and how bad it is. */
const FINISHES = { stop: "good", aborted: "warn", error: "bad", lost: "bad", late: "warn" };

/** The badge of a call's end. */
export function finishBadge({ finish, status }) {
  if (finish in FINISHES) return badge(t(`finish.${finish}`), FINISHES[finish]);
  return badge(finish || String(status), status >= 400 ? "bad" : "");
}

/** The log, of the reader or of everybody. */
export function callLog({ signal, isEverybody }) {
  const filters = { from: "", to: "", token: "", model: "" };
  const table = pagedTable({
    caption: t("usage.log"),
    signal,
    size: 20,
    load: (p, size) => api("GET", isEverybody ? "/api/log/" : "/api/log/self", { query: { p, size, ...toQuery(filters) }, signal }),
    columns: columns(isEverybody),
    empty: () => emptyState({ symbol: "filter", title: t("usage.no_calls"), text: t("usage.no_calls_text") }),
  });
  const change = (name) => (event) => {
    filters[name] = event.target.value;
    void table.first();
  };
  const controls = h(
    "form.filters",
    { "aria-label": t("usage.filters"), onsubmit: (event) => event.preventDefault() },
    filterField(t("usage.from"), h("input", { type: "date", name: "from", onchange: change("from") })),
    filterField(t("usage.to"), h("input", { type: "date", name: "to", onchange: change("to") })),
    !isEverybody && filterField(t("usage.key"), keyChoice(change("token"), signal)),
    filterField(t("usage.model"), h("select", { name: "model", onchange: change("model") }, h("option", { value: "" }, t("usage.all")), session.status.models.map((name) => h("option", { value: name }, name)))),
    button(t("usage.refresh"), { kind: "quiet", symbol: "retry", name: "refresh", onclick: () => table.reload(true) }),
  );
  const part = card({ title: t("usage.log"), kind: "flush" }, controls, table);
  part.id = "log";
  return part;
}

function filterField(label, input) {
  input.id = uniqueId("filter");
  return h("div.filter", h("label", { for: input.id }, label), input);
}

function keyChoice(onchange, signal) {
  const select = h("select", { name: "token", onchange }, h("option", { value: "" }, t("usage.all")));
  const fill = async () => {
    const { items } = await api("GET", "/api/token/", { query: { p: 1, size: 100 }, signal });
    select.append(...items.map(({ id, name }) => h("option", { value: id }, name)));
  };
  // Without the list, the log itself still works, and says what is wrong if the server is gone.
  fill().catch(() => {});
  return select;
}

/** Days of the reader's clock, whole ones. */
function toQuery({ from, to, token, model }) {
  const midnight = (text, daysLater) => {
    const [year, month, day] = text.split("-").map(Number);
    return Math.floor(new Date(year, month - 1, day + daysLater).getTime() / 1000);
  };
  return {
    start_timestamp: from && midnight(from, 0),
    end_timestamp: to && midnight(to, 1),
    token_id: token,
    model,
  };
}

function columns(isEverybody) {
  return [
    { label: t("usage.when"), kind: "main", cell: ({ created_at: at }) => exactTime(at) },
    isEverybody && { label: t("users.user"), cell: ({ username }) => username },
    { label: t("usage.key"), cell: ({ token_name: name }) => name },
    { label: t("usage.model"), cell: (call) => [h("span", call.model_name), h("code.muted.route", call.route)] },
    { label: t("usage.read"), kind: "number", cell: (call) => [number(call.prompt_tokens), call.cached_tokens > 0 && h("span.muted.small", t("usage.of_which_cached", { count: call.cached_tokens }))] },
    { label: t("usage.made"), kind: "number", cell: ({ completion_tokens: tokens }) => number(tokens) },
    { label: t("usage.cost"), kind: "number", cell: ({ quota }) => money(quota) },
    { label: t("usage.took"), kind: "number", cell: (call) => [duration(call.duration_ms), speedOf(call) !== null && h("span.muted.small", speed(speedOf(call)))] },
    { label: t("usage.result"), cell: finishBadge },
    { label: t("table.actions"), kind: "actions", cell: (call) => button(t("usage.details"), { kind: "quiet small", onclick: () => showCall(call), "aria-label": t("keys.action_of", { action: t("usage.details"), name: call.request_id }) }) },
  ].filter(Boolean);
}

function showCall(call) {
  const rate = speedOf(call);
  return openDialog({
    title: t("usage.call"),
    content: h(
      "div",
      facts([
        [t("usage.request_id"), h("span.copyable", h("code", call.request_id), copyButton(() => call.request_id))],
        [t("usage.when"), exactTime(call.created_at)],
        call.username && [t("users.user"), call.username],
        [t("usage.key"), call.token_name],
        [t("usage.model"), call.model_name],
        [t("usage.route"), h("code", call.route)],
        [t("usage.result"), [finishBadge(call), ` ${call.status || ""}`]],
        [t("usage.read"), `${number(call.prompt_tokens)} (${t("usage.of_which_cached", { count: call.cached_tokens })})`],
        [t("usage.made"), number(call.completion_tokens)],
        [t("usage.cost"), money(call.quota)],
        [t("usage.took"), duration(call.duration_ms)],
        call.first_token_ms > 0 && [t("usage.first_token"), duration(call.first_token_ms)],
        rate !== null && [t("overview.speed"), speed(rate)],
        [t("usage.streamed"), t(call.is_stream ? "word.yes" : "word.no")],
      ]),
    ),
  });
}
