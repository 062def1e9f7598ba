// What is loaded, how much room it takes, how fast it is, who waits.

import { api } from "../api.js";
import { sparkline } from "../components/chart.js";
import { copyButton } from "../components/copy.js";
import { linkButton } from "../components/button.js";
import { badge, card, facts, figure, figures, meter, page } from "../components/layout.js";
import { emptyState, errorState, skeleton } from "../components/states.js";
import { h, replace } from "../dom.js";
import { bytes, number, percent, speed, t } from "../i18n.js";
import { hrefOf } from "../router.js";
import { session } from "../session.js";
import { enginesOf } from "./overview.js";

const INTERVAL_MS = 2000;
const SAMPLES_MAX = 60;

/** `/console/models` */
export function modelsPage({ signal }) {
  const place = h("div.stack");
  const history = new Map();
  replace(place, skeleton(6));
  const tick = async () => {
    if (!document.hidden) await refresh(place, history, signal);
    if (!signal.aborted) setTimeout(tick, INTERVAL_MS);
  };
  void tick();
  return page({ title: t("nav.models"), lead: t("models.lead") }, place);
}

async function refresh(place, history, signal) {
  try {
    const models = enginesOf(await api("GET", "/api/engine", { signal }));
    models.forEach((model) => remember(history, model));
    if (!signal.aborted) replace(place, models.length === 0 ? withoutEngine() : models.map((model) => modelCard(model, history.get(model.id))));
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    replace(place, errorState(error, () => refresh(place, history, signal)));
  }
}

function remember(history, { id, tokens_per_second: rate, running, waiting }) {
  const samples = history.get(id) ?? [];
  samples.push({ rate: rate ?? 0, busy: (running ?? 0) + (waiting ?? 0) });
  history.set(id, samples.slice(-SAMPLES_MAX));
}

/** Models of upstreams only: nothing of them is known but their names. */
function withoutEngine() {
  const { models } = session.status;
  if (models.length === 0) return card({}, emptyState({ symbol: "model", title: t("models.none"), text: t("models.none_text") }));
  return card({ title: t("models.upstream"), hint: t("models.upstream_hint") }, h("ul.plain-list", models.map((name) => h("li.model-line", h("code", name), copyButton(() => name)))));
}

function modelCard(model, samples) {
  const state = badge(t(model.loaded ? "models.loaded" : "models.not_loaded"), model.loaded ? "good" : "");
  return card(
    { title: model.id, hint: [model.quantisation, t("models.context", { count: model.context_tokens ?? 0 })].filter(Boolean).join(" · "), actions: [state, linkButton(t("models.try"), hrefOf("/playground"), { symbol: "playground", kind: "quiet" })] },
    h("div.badges", (model.capabilities ?? []).map((name) => badge(capability(name)))),
    figures(
      figure(t("models.writing"), speed(model.tokens_per_second ?? 0), sparkline(samples.map(({ rate }) => rate), t("models.writing_lately"))),
      figure(t("models.reading"), speed(model.prompt_tokens_per_second ?? 0), t("models.reading_note")),
      figure(t("models.running"), number(model.running ?? 0), sparkline(samples.map(({ busy }) => busy), t("models.busy_lately"))),
      figure(t("models.waiting"), number(model.waiting ?? 0), t("models.waiting_note")),
    ),
    memory(model),
  );
}

/** Capabilities have no fixed list: what is not known is called by its own name. */
function capability(name) {
  const known = ["text", "tools", "image", "audio", "json", "embeddings", "adapters"];
  return known.includes(name) ? t(`capability.${name}`) : name;
}

function memory({ memory_bytes: whole, weights_bytes: weights, kv_bytes: cache, kv_used: used }) {
  const share = kvShare(used, cache);
  return h(
    "div.memory",
    h("h3", t("models.memory")),
    share !== null && h("div.memory-line", h("span", t("models.cache")), meter(share, t("models.cache"), share > 0.9 ? "warn" : ""), h("span.muted", t("models.cache_used", { share: percent(share) }))),
    facts([
      whole > 0 && [t("models.memory_whole"), bytes(whole)],
      weights > 0 && [t("models.weights"), bytes(weights)],
      cache > 0 && [t("models.cache_room"), bytes(cache)],
    ]),
  );
}

/** `kv_used` is a share of 1, or bytes. */
function kvShare(used, room) {
  if (used === null || used === undefined) return null;
  if (used <= 1) return used;
  return room > 0 ? used / room : null;
}
