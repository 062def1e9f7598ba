// Servers that answer requests: this one's engine, and others.

import { api } from "../../api.js";
import { button, iconButton } from "../../components/button.js";
import { confirmDialog, openDialog } from "../../components/dialog.js";
import { areaField, form, numberField, section, switchField, textField } from "../../components/form.js";
import { badge, card, page } from "../../components/layout.js";
import { emptyState, loaded } from "../../components/states.js";
import { dataTable } from "../../components/table.js";
import { toast, toastError } from "../../components/toast.js";
import { h } from "../../dom.js";
import { duration, number, t } from "../../i18n.js";

const ENABLED = 1;
const DISABLED = 2;
/** More are not shown: a list to look at, not to search. */
const CHANNELS_MAX = 100;

const HEALTH = { up: "good", down: "bad", open: "warn" };

const FRESH = { name: "", base_url: "", models: "", model_mapping: {}, weight: 1, priority: 0, timeout_seconds: 60, status: ENABLED };

/** `/console/admin/upstreams` */
export function upstreamsPage({ signal }) {
  const add = (kind) => button(t("upstreams.add"), { kind, symbol: "plus", name: "add-upstream", onclick: () => change(null, () => list.reload(true)) });
  const head = add("primary");
  const list = loaded({
    signal,
    lines: 5,
    load: () => readChannels(signal),
    show: ({ channels, message }) => {
      head.hidden = channels === null;
      if (channels === null) return emptyState({ symbol: "upstream", title: t("upstreams.none"), text: message });
      if (channels.length === 0) return emptyState({ symbol: "upstream", title: t("upstreams.empty"), text: t("upstreams.empty_text"), action: add("plain") });
      return dataTable({ caption: t("nav.upstreams"), rows: channels, rowName: ({ name }) => name, columns: columns(() => list.reload(true)) });
    },
  });
  return page({ title: t("nav.upstreams"), lead: t("upstreams.lead"), actions: head }, card({ kind: "flush" }, list));
}

/** `channels` is `null` where the server serves its own engine only; then `message` says so. */
async function readChannels(signal) {
  try {
    const { items } = await api("GET", "/api/channel/", { query: { p: 1, size: CHANNELS_MAX }, signal });
    return { channels: items };
  } catch (error) {
    if (error.status !== 404) throw error;
    return { channels: null, message: error.message };
  }
}

function columns(reload) {
  return [
    { label: t("keys.name"), kind: "main", cell: (channel) => [h("strong", channel.name), channel.type === "local" ? h("span.muted.small", t("upstreams.local")) : h("code.muted.small", channel.base_url)] },
    { label: t("upstreams.health"), cell: health },
    { label: t("nav.models"), cell: ({ models, model_mapping: mapping }) => h("span.small", namesOf(models, mapping)) },
    { label: t("upstreams.priority"), kind: "number", cell: ({ priority }) => number(priority) },
    { label: t("upstreams.weight"), kind: "number", cell: ({ weight }) => number(weight) },
    { label: t("table.actions"), kind: "actions", cell: (channel) => actions(channel, reload) },
  ];
}

function namesOf(models, mapping) {
  const names = models.split(",").map((name) => name.trim()).filter(Boolean);
  return names.map((name) => (mapping?.[name] ? `${name} → ${mapping[name]}` : name)).join(", ") || "–";
}

function health({ status, health: state }) {
  if (status !== ENABLED) return badge(t("keys.disabled"));
  if (!state?.state) return badge(t("upstreams.unknown"));
  const word = state.state in HEALTH ? t(`upstreams.${state.state}`) : state.state;
  const time = state.response_ms > 0 && h("span.muted.small", duration(state.response_ms));
  return [badge(word, HEALTH[state.state] ?? ""), time, state.last_error && state.state !== "up" && h("span.small.wrap", state.last_error)];
}

function actions(channel, reload) {
  const isEnabled = channel.status === ENABLED;
  const isLocal = channel.type === "local";
  const named = (words) => t("keys.action_of", { action: words, name: channel.name });
  const turn = () => attempt(() => api("PUT", "/api/channel/", { body: { id: channel.id, status: isEnabled ? DISABLED : ENABLED } }), reload);
  return h(
    "div.row-actions",
    button(t("upstreams.test"), { kind: "small", name: "test", onclick: () => test(channel, reload), "aria-label": named(t("upstreams.test")) }),
    button(t(isEnabled ? "action.disable" : "action.enable"), { kind: "quiet small", onclick: turn, "aria-label": named(t(isEnabled ? "action.disable" : "action.enable")) }),
    !isLocal && iconButton("edit", named(t("action.edit")), { onclick: () => change(channel, reload), "data-name": "edit" }),
    !isLocal && iconButton("trash", named(t("action.delete")), { onclick: () => remove(channel, reload), "data-name": "delete" }),
  );
}

async function attempt(work, reload) {
  try {
    await work();
    toast(t("state.saved"));
    await reload();
  } catch (error) {
    toastError(error);
  }
}

async function test(channel, reload) {
  try {
    const { health: found } = await api("POST", `/api/channel/${channel.id}/test`);
    if (found.last_error !== "" || found.state === "down") throw new Error(t("upstreams.fails", { name: channel.name, problem: found.last_error }));
    toast(t("upstreams.works", { name: channel.name, time: duration(found.response_ms) }));
  } catch (error) {
    toastError(error);
  }
  await reload();
}

async function change(channel, done) {
  const isDone = await openDialog({
    title: channel === null ? t("upstreams.add") : t("upstreams.edit_title", { name: channel.name }),
    lead: t("upstreams.form_lead"),
    content: (close) => channelForm(channel, close),
  });
  if (isDone === null) return;
  toast(t("state.saved"));
  await done();
}

function channelForm(channel, close) {
  const known = channel ?? FRESH;
  const fields = [
    textField({ name: "name", label: t("keys.name"), value: known.name, isRequired: true, maxlength: 50, autocomplete: "off", autofocus: true }),
    textField({ name: "base_url", label: t("upstreams.base_url"), hint: t("upstreams.base_url_hint"), value: known.base_url, type: "url", isRequired: true, placeholder: "https://…/v1", check: urlProblem }),
    textField({ name: "key", label: t("upstreams.key"), hint: t(channel === null ? "upstreams.key_hint" : "upstreams.key_stays"), type: "password", autocomplete: "off" }),
    textField({ name: "models", label: t("nav.models"), hint: t("upstreams.models_hint"), value: known.models, isRequired: true, autocomplete: "off" }),
    areaField({ name: "model_mapping", label: t("upstreams.mapping"), hint: t("upstreams.mapping_hint"), value: writeMapping(known.model_mapping), isCode: true, rows: 2, placeholder: "phi-4-mini = microsoft/Phi-4-mini-instruct", check: mappingProblem }),
    section(t("upstreams.routing"), [
      numberField({ name: "priority", label: t("upstreams.priority"), hint: t("upstreams.priority_hint"), value: known.priority, min: -1_000_000, max: 1_000_000, step: 1, isRequired: true }),
      numberField({ name: "weight", label: t("upstreams.weight"), hint: t("upstreams.weight_hint"), value: known.weight, min: 0, max: 1_000_000, step: 1, isRequired: true }),
      numberField({ name: "timeout_seconds", label: t("upstreams.timeout"), hint: t("upstreams.timeout_hint"), value: known.timeout_seconds, min: 1, max: 86_400, step: 1, isRequired: true }),
    ]),
    switchField({ name: "is_enabled", label: t("upstreams.is_enabled"), value: known.status === ENABLED }),
  ];
  const save = async ({ key, is_enabled: isEnabled, model_mapping: mapping, models, ...rest }) => {
    const names = models.split(",").map((name) => name.trim()).filter(Boolean).join(",");
    const body = { ...rest, models: names, model_mapping: readMapping(mapping), status: isEnabled ? ENABLED : DISABLED };
    if (key !== "") body.key = key;
    if (channel === null) await api("POST", "/api/channel/", { body: { ...body, type: "openai" } });
    else await api("PUT", "/api/channel/", { body: { ...body, id: channel.id } });
    close(true);
  };
  return form({ fields, submit: t("action.save"), oncancel: () => close(), onsubmit: save });
}

function urlProblem(text) {
  const isAddress = URL.canParse(text) && ["http:", "https:"].includes(new URL(text).protocol);
  return isAddress ? null : t("upstreams.base_url_wrong");
}

function writeMapping(mapping) {
  return Object.entries(mapping ?? {}).map((pair) => pair.join(" = ")).join("\n");
}

function readMapping(text) {
  const pairs = text.split("\n").filter((line) => line.trim()).map((line) => line.split("=").map((part) => part.trim()));
  return Object.fromEntries(pairs);
}

function mappingProblem(text) {
  const wrong = text.split("\n").find((line) => line.trim() && !/^[^=]*\S[^=]*=[^=]*\S[^=]*$/.test(line));
  return wrong === undefined ? null : t("upstreams.mapping_wrong", { line: wrong });
}

async function remove(channel, reload) {
  const action = () => api("DELETE", `/api/channel/${channel.id}`);
  const isDone = await confirmDialog({ title: t("upstreams.delete_title", { name: channel.name }), text: t("upstreams.delete_text"), label: t("action.delete"), action });
  if (isDone) await reload();
}
