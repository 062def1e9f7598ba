// Today at a glance, and the first steps of somebody new.

import { api } from "../api.js";
import { linkButton } from "../components/button.js";
import { columnChart } from "../components/chart.js";
import { codeTabs } from "../components/code.js";
import { badge, card, facts, figure, figures, page } from "../components/layout.js";
import { emptyState, loaded } from "../components/states.js";
import { dataTable } from "../components/table.js";
import { h } from "../dom.js";
import { ago, compact, day, duration, money, number, roundMoney, speed, t } from "../i18n.js";
import { hrefOf } from "../router.js";
import { baseUrl, refreshUser, session } from "../session.js";
import { averageSpeed, fillDays, lastDays, midnight, newestCalls, total, usageBy } from "../usage-data.js";
import { chatSnippets } from "../snippets.js";
import { finishBadge } from "./usage-log.js";

const CHART_DAYS = 14;
const CALLS_SHOWN = 6;

/** `/console/` */
export function overviewPage({ signal }) {
  const name = session.user.display_name || session.user.username;
  const today = loaded({ signal, lines: 2, load: () => readToday(signal), show: showToday });
  const chart = loaded({ signal, load: () => readDays(signal), show: showDays });
  const calls = loaded({ signal, load: () => newestCalls(CALLS_SHOWN, signal), show: showCalls });
  return page(
    { title: t("overview.title", { name }), lead: t("overview.lead") },
    today,
    h("div.columns", card({ title: t("overview.days", { count: CHART_DAYS }), actions: linkButton(t("nav.usage"), hrefOf("/usage"), { kind: "quiet" }) }, chart), loaded({ signal, lines: 4, load: () => api("GET", "/api/engine", { signal }), show: showEngine, tag: "section.card" })),
    card({ title: t("overview.recent"), kind: "flush", actions: linkButton(t("overview.all_calls"), `${hrefOf("/usage")}#log`, { kind: "quiet" }) }, calls),
    firstSteps(),
  );
}

async function readToday(signal) {
  const since = midnight();
  const [buckets, rate] = await Promise.all([usageBy("model", { since, signal }), averageSpeed(since, signal), refreshUser(signal)]);
  return { ...total(buckets), rate };
}

function showToday({ requests, prompt_tokens: prompt, cached_tokens: cached, completion_tokens: made, quota, errors, rate }) {
  const { user } = session;
  return figures(
    figure(t("overview.requests"), compact(requests), errors > 0 ? t("overview.errors", { count: errors }) : t("overview.today")),
    figure(t("overview.tokens"), compact(prompt + made), t("overview.tokens_note", { read: compact(prompt), cached: compact(cached), made: compact(made) })),
    figure(t("overview.cost"), roundMoney(quota), user.unlimited_quota ? t("account.unlimited") : t("overview.left", { amount: money(user.quota) })),
    figure(t("overview.speed"), rate === null ? "–" : speed(rate), t(rate === null ? "overview.no_speed" : "overview.speed_note")),
  );
}

async function readDays(signal) {
  const days = lastDays(CHART_DAYS);
  return fillDays(await usageBy("day", { since: Date.parse(`${days[0]}T00:00:00Z`) / 1000, signal }), days);
}

function showDays(days) {
  if (total(days).requests === 0) return emptyState({ symbol: "usage", title: t("overview.quiet_title"), text: t("overview.quiet_text") });
  return columnChart({
    label: t("overview.chart", { count: CHART_DAYS }),
    series: [t("usage.read"), t("usage.cached"), t("usage.made")],
    write: (value) => number(value),
    columns: days.map(({ bucket, prompt_tokens: prompt, cached_tokens: cached, completion_tokens: made }) => ({
      label: day(bucket, { weekday: "long", day: "numeric", month: "long" }),
      short: day(bucket, { day: "numeric", month: "numeric" }),
      values: [prompt - cached, cached, made],
    })),
  });
}

function showEngine(data) {
  const models = enginesOf(data);
  const head = h("header.card-head", h("h2", t("nav.models")), h("div.card-actions", linkButton(t("overview.details"), hrefOf("/models"), { kind: "quiet" })));
  if (models.length === 0 && session.status.models.length === 0) return [head, emptyState({ symbol: "model", title: t("models.none"), text: t("models.none_text") })];
  if (models.length === 0) return [head, h("ul.plain-list", session.status.models.map((name) => h("li.model-line", h("strong", name))))];
  const lines = models.map((model) => [
    h("li.model-line", h("div", h("strong", model.id), h("span.muted.small", t("models.context", { count: model.context_tokens ?? 0 }))), badge(t(model.loaded ? "models.loaded" : "models.not_loaded"), model.loaded ? "good" : "")),
    h("li", facts([[t("models.writing"), speed(model.tokens_per_second ?? 0)], [t("models.reading"), speed(model.prompt_tokens_per_second ?? 0)], [t("models.running"), number(model.running ?? 0)], [t("models.waiting"), number(model.waiting ?? 0)]])),
  ]);
  return [head, h("ul.plain-list", lines)];
}

/** The models of `/api/engine`, which may be a list, an object with one, or nothing. */
export function enginesOf(data) {
  if (data === null || data === undefined) return [];
  return Array.isArray(data) ? data : (data.models ?? data.items ?? []);
}

function showCalls(calls) {
  if (calls.length === 0) return emptyState({ symbol: "playground", title: t("overview.no_calls"), text: t("overview.no_calls_text"), action: linkButton(t("overview.to_playground"), hrefOf("/playground"), { kind: "primary" }) });
  return dataTable({
    caption: t("overview.recent"),
    rows: calls,
    columns: [
      { label: t("usage.when"), kind: "main", cell: ({ created_at: at }) => ago(at) },
      { label: t("usage.model"), cell: ({ model_name: model }) => model },
      { label: t("usage.key"), cell: ({ token_name: name }) => name },
      { label: t("usage.tokens"), kind: "number", cell: (call) => number(call.prompt_tokens + call.completion_tokens) },
      { label: t("usage.cost"), kind: "number", cell: ({ quota }) => money(quota) },
      { label: t("usage.took"), kind: "number", cell: (call) => duration(call.duration_ms) },
      { label: t("usage.result"), cell: finishBadge },
    ],
  });
}

function firstSteps() {
  const body = { model: session.status.models[0] ?? "model", messages: [{ role: "user", content: t("overview.example_question") }] };
  const steps = [
    ["1", t("overview.step_key"), h("a", { href: hrefOf("/keys") }, t("keys.add"))],
    ["2", t("overview.step_code"), null],
    ["3", t("overview.step_see"), h("a", { href: hrefOf("/usage") }, t("nav.usage"))],
  ];
  return card(
    { title: t("overview.first_steps") },
    h("div.columns.late", h("ol.steps", steps.map(([step, words, link]) => h("li", h("span.step", { "aria-hidden": "true" }, step), h("span", words, " ", link)))), codeTabs(chatSnippets({ base: baseUrl(), key: session.ownKey, body }), t("overview.code"))),
  );
}
