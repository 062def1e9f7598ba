// What was used: by day, key and model, and every call.

import { api } from "../api.js";
import { button } from "../components/button.js";
import { columnChart } from "../components/chart.js";
import { badge, card, figure, figures, meter, page } from "../components/layout.js";
import { emptyState, loaded } from "../components/states.js";
import { dataTable } from "../components/table.js";
import { h, replace } from "../dom.js";
import { compact, day, money, number, percent, roundMoney, t } from "../i18n.js";
import { isAdministrator } from "../session.js";
import { fillDays, lastDays, total, usageBy } from "../usage-data.js";
import { callLog } from "./usage-log.js";

const RANGES = [7, 30, 90];
const MEASURES = ["tokens", "cost", "requests"];

/** What was chosen last; kept while the page lives, so that a change of language keeps it. */
const chosen = { days: 30, measure: "tokens", isEverybody: false };

/** `/console/usage` */
export function usagePage({ signal }) {
  const place = h("div.stack");
  const draw = () => replace(place, sections(signal));
  draw();
  const scope = isAdministrator() && segments(t("usage.whose"), [[false, t("usage.mine")], [true, t("usage.everybody")]], chosen.isEverybody, (value) => {
    chosen.isEverybody = value;
    draw();
  });
  const range = segments(t("usage.range"), RANGES.map((days) => [days, t("usage.days", { count: days })]), chosen.days, (value) => {
    chosen.days = value;
    draw();
  });
  return page({ title: t("nav.usage"), lead: t("usage.lead"), actions: [scope, range] }, place);
}

/** Buttons of which one is chosen. */
export function segments(label, options, value, onchange) {
  const buttons = options.map(([key, words]) =>
    button(words, {
      kind: "segment",
      "aria-pressed": String(key === value),
      onclick: () => {
        buttons.forEach((element, index) => element.setAttribute("aria-pressed", String(options[index][0] === key)));
        onchange(key);
      },
    }),
  );
  return h("div.segments", { role: "group", "aria-label": label }, buttons);
}

function sections(signal) {
  const days = lastDays(chosen.days);
  const isEverybody = chosen.isEverybody && isAdministrator();
  const query = { since: Date.parse(`${days[0]}T00:00:00Z`) / 1000, isEverybody, signal };
  const byDay = loaded({ signal, lines: 6, load: async () => fillDays(await usageBy("day", query), days), show: showDays });
  const ranked = (by, title) => card({ title }, loaded({ signal, load: () => usageBy(by, query), show: (buckets) => ranking(buckets, title, by) }));
  return [byDay, h("div.columns.even", ranked("token", t("usage.by_key")), ranked("model", t("usage.by_model"))), callLog({ signal, isEverybody })];
}

function showDays(days) {
  const sum = total(days);
  const head = figures(
    figure(t("overview.requests"), compact(sum.requests), t("overview.errors", { count: sum.errors })),
    figure(t("usage.read"), compact(sum.prompt_tokens), t("usage.cached_note", { share: percent(sum.prompt_tokens > 0 ? sum.cached_tokens / sum.prompt_tokens : 0) })),
    figure(t("usage.made"), compact(sum.completion_tokens), t("usage.tokens_unit")),
    figure(t("overview.cost"), roundMoney(sum.quota), t("usage.in_days", { count: chosen.days })),
  );
  if (sum.requests === 0) return [head, card({ title: t("usage.by_day") }, emptyState({ symbol: "usage", title: t("overview.quiet_title"), text: t("usage.quiet_text") }))];
  const place = h("div");
  const draw = () => replace(place, dayChart(days));
  draw();
  const measure = segments(t("usage.measure"), MEASURES.map((name) => [name, t(`usage.measure_${name}`)]), chosen.measure, (value) => {
    chosen.measure = value;
    draw();
  });
  return [head, card({ title: t("usage.by_day"), hint: t("usage.utc"), actions: measure }, place, dayTable(days))];
}

/** How each measure is drawn. */
const DRAWINGS = {
  tokens: { series: () => [t("usage.read"), t("usage.cached"), t("usage.made")], values: (bucket) => [bucket.prompt_tokens - bucket.cached_tokens, bucket.cached_tokens, bucket.completion_tokens], write: (value) => number(value) },
  cost: { series: () => [t("usage.cost")], values: (bucket) => [bucket.quota], write: money, axis: roundMoney },
  requests: { series: () => [t("usage.answered"), t("usage.failed")], values: (bucket) => [Math.max(0, bucket.requests - bucket.errors), bucket.errors], write: (value) => number(value) },
};

function dayChart(days) {
  const { series, values, write, axis } = DRAWINGS[chosen.measure];
  const columns = days.map((bucket) => ({
    label: day(bucket.bucket, { weekday: "long", day: "numeric", month: "long" }),
    short: day(bucket.bucket, { day: "numeric", month: "numeric" }),
    values: values(bucket),
  }));
  return columnChart({ columns, series: series(), write, axis, label: t(`usage.chart_${chosen.measure}`, { count: days.length }) });
}

function dayTable(days) {
  const rows = days.filter(({ requests }) => requests > 0).reverse();
  const table = dataTable({ caption: t("usage.by_day"), rows, columns: [{ label: t("usage.day"), kind: "main", cell: ({ bucket }) => day(bucket, { day: "numeric", month: "short", year: "numeric" }) }, ...sumColumns()] });
  return h("details.fold", h("summary", t("usage.as_table")), table);
}

function sumColumns() {
  return [
    { label: t("overview.requests"), kind: "number", cell: ({ requests }) => number(requests) },
    { label: t("usage.failed"), kind: "number", cell: ({ errors }) => number(errors) },
    { label: t("usage.read"), kind: "number", cell: ({ prompt_tokens: tokens }) => number(tokens) },
    { label: t("usage.cached"), kind: "number", cell: ({ cached_tokens: tokens }) => number(tokens) },
    { label: t("usage.made"), kind: "number", cell: ({ completion_tokens: tokens }) => number(tokens) },
    { label: t("usage.cost"), kind: "number", cell: ({ quota }) => money(quota) },
  ];
}

/** Buckets by what they cost, or by tokens where nothing costs anything, with a bar for the share. */
function ranking(buckets, caption, by) {
  if (buckets.length === 0) return emptyState({ symbol: by === "token" ? "key" : "model", title: t("usage.nothing") });
  const tokens = (bucket) => bucket.prompt_tokens + bucket.completion_tokens;
  const hasCost = buckets.some(({ quota }) => quota > 0);
  const weight = hasCost ? (bucket) => bucket.quota : tokens;
  const rows = [...buckets].sort((a, b) => weight(b) - weight(a));
  const whole = rows.reduce((sum, bucket) => sum + weight(bucket), 0) || 1;
  return dataTable({
    caption,
    rows,
    columns: [
      { label: t(by === "token" ? "usage.key" : "usage.model"), kind: "main", cell: (bucket) => [h("span.bucket-name", bucket.bucket || t("usage.deleted")), meter(weight(bucket) / whole, t("usage.share", { name: bucket.bucket }))] },
      { label: t("overview.requests"), kind: "number", cell: ({ requests, errors }) => [number(requests), errors > 0 && badge(t("overview.errors", { count: errors }), "warn")] },
      { label: t("usage.tokens"), kind: "number", cell: (bucket) => compact(tokens(bucket)) },
      { label: t("usage.cost"), kind: "number", cell: ({ quota }) => money(quota) },
    ],
  });
}
