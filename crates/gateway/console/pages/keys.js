// The reader's keys: what there is, and what can be done to each.

import { api, changes } from "../api.js";
import { button, iconButton, linkButton } from "../components/button.js";
import { copyButton } from "../components/copy.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { badge, card, facts, page } from "../components/layout.js";
import { emptyState } from "../components/states.js";
import { pagedTable } from "../components/table.js";
import { toast, toastError } from "../components/toast.js";
import { h } from "../dom.js";
import { ago, dateTime, money, number, t } from "../i18n.js";
import { hrefOf } from "../router.js";
import { baseUrl, session } from "../session.js";
import { keyForm } from "./key-form.js";

const ENABLED = 1;
const DISABLED = 2;
const STATUS = { 1: ["keys.enabled", "good"], 2: ["keys.disabled", ""], 3: ["keys.expired", "warn"], 4: ["keys.exhausted", "bad"] };

/** `/console/keys` */
export function keysPage({ signal }) {
  const table = pagedTable({
    caption: t("nav.keys"),
    signal,
    columns: columns(() => table.reload(true)),
    rowName: ({ name }) => name,
    load: (p, size) => api("GET", "/api/token/", { query: { p, size }, signal }),
    empty: () => emptyState({ symbol: "key", title: t("keys.empty_title"), text: t("keys.empty_text"), action: addButton(() => table.first()) }),
  });
  return page(
    { title: t("nav.keys"), lead: t("keys.lead"), actions: addButton(() => table.first()) },
    card({ kind: "flush" }, table),
    card({ title: t("keys.connect") }, facts([[t("keys.base_url"), h("span.copyable", h("code", baseUrl()), copyButton(baseUrl))]]), h("p.hint", t("keys.connect_hint"), " ", h("a", { href: hrefOf("/reference") }, t("nav.reference")))),
  );
}

function addButton(done) {
  return button(t("keys.add"), { kind: "primary", symbol: "plus", name: "add-key", onclick: () => addKey(done) });
}

async function addKey(done) {
  const made = await openDialog({
    title: t("keys.add_title"),
    lead: t("keys.add_lead"),
    content: (close) => keyForm({ submit: t("keys.add"), oncancel: () => close(), onsubmit: async (values) => close(await api("POST", "/api/token/", { body: values })) }),
  });
  if (made === null) return;
  done();
  await showOnce(made.key, t("keys.made_title"));
}

/** The only time that a key is seen. It stays in this tab's memory for the playground's examples. */
async function showOnce(key, title) {
  session.ownKey = key;
  await openDialog({
    title,
    lead: t("keys.once"),
    isSticky: true,
    content: (close) =>
      h(
        "div.once",
        h("label.secret-label", { for: "new-key" }, t("keys.key")),
        h("div.secret", h("input", { id: "new-key", class: "code", readOnly: true, value: key, onfocus: (event) => event.target.select() }), copyButton(() => key, { label: t("action.copy"), kind: "primary", name: "copy-key" })),
        h("label.secret-label", { for: "new-base" }, t("keys.base_url")),
        h("div.secret", h("input", { id: "new-base", class: "code", readOnly: true, value: baseUrl(), onfocus: (event) => event.target.select() }), copyButton(baseUrl, { label: t("action.copy") })),
        h("div.actions", linkButton(t("keys.try"), hrefOf("/reference"), { kind: "quiet", onclick: () => close() }), button(t("keys.have_it"), { kind: "primary", name: "done", onclick: () => close() })),
      ),
  });
}

function columns(reload) {
  return [
    { label: t("keys.name"), kind: "main", cell: (key) => [h("strong", key.name), h("code.masked", key.key)] },
    { label: t("keys.status"), cell: ({ status }) => badge(t(STATUS[status][0]), STATUS[status][1]) },
    { label: t("keys.used"), kind: "number", cell: (key) => spent(key) },
    { label: t("keys.limits"), cell: (key) => limits(key) },
    { label: t("keys.last_used"), cell: ({ accessed_time: at }) => (at > 0 ? h("time", { title: dateTime(at) }, ago(at)) : h("span.muted", t("keys.never_used"))) },
    { label: t("table.actions"), kind: "actions", cell: (key) => actions(key, reload) },
  ];
}

function spent(key) {
  const left = key.unlimited_quota ? null : h("span.muted.small", t("keys.left", { amount: money(key.remain_quota) }));
  return [h("span", money(key.used_quota)), left];
}

function limits(key) {
  const parts = [
    key.expired_time > 0 && t("keys.until", { date: dateTime(key.expired_time) }),
    key.model_limits_enabled && key.model_limits.split(",").join(", "),
    !key.unlimited_tokens && t("keys.tokens_left", { count: key.remain_tokens }),
    key.adapters && t("keys.adapters_are", { names: key.adapters.split(",").join(", ") }),
    key.modalities && key.modalities.split(",").map((name) => t(`modality.${name}`)).join(", "),
    key.allow_ips && t("keys.networks", { count: key.allow_ips.split("\n").filter((line) => line.trim()).length }),
    key.requests_per_minute > 0 && t("keys.rpm", { value: number(key.requests_per_minute) }),
    key.tokens_per_minute > 0 && t("keys.tpm", { value: number(key.tokens_per_minute) }),
    key.parallel_requests > 0 && t("keys.parallel", { value: number(key.parallel_requests) }),
  ].filter(Boolean);
  return parts.length === 0 ? h("span.muted", t("keys.no_limits")) : h("span.small", parts.join(" · "));
}

function actions(key, reload) {
  const isEnabled = key.status === ENABLED;
  const turn = async () => {
    try {
      await api("PUT", "/api/token/", { query: { status_only: true }, body: { id: key.id, status: isEnabled ? DISABLED : ENABLED } });
      toast(t(isEnabled ? "keys.now_disabled" : "keys.now_enabled", { name: key.name }));
      await reload();
    } catch (error) {
      toastError(error);
    }
  };
  const named = (words) => t("keys.action_of", { action: words, name: key.name });
  return h(
    "div.row-actions",
    button(t(isEnabled ? "action.disable" : "action.enable"), { kind: "quiet small", onclick: turn, "aria-label": named(t(isEnabled ? "action.disable" : "action.enable")), name: isEnabled ? "disable" : "enable" }),
    iconButton("edit", named(t("action.edit")), { onclick: () => edit(key, reload), "data-name": "edit" }),
    iconButton("retry", named(t("action.rotate")), { onclick: () => rotate(key, reload), "data-name": "rotate" }),
    iconButton("trash", named(t("action.delete")), { onclick: () => remove(key, reload), "data-name": "delete" }),
  );
}

async function edit(key, reload) {
  const save = (close) => async (values) => {
    // What is left to spend may have fallen meanwhile: only a new limit is sent.
    await api("PUT", "/api/token/", { body: { id: key.id, ...changes(values, key) } });
    close(true);
  };
  const isDone = await openDialog({
    title: t("keys.edit_title", { name: key.name }),
    content: (close) => keyForm({ key, submit: t("action.save"), oncancel: () => close(), onsubmit: save(close) }),
  });
  if (isDone === null) return;
  toast(t("state.saved"));
  await reload();
}

async function rotate(key, reload) {
  let made = null;
  const action = async () => {
    made = await api("POST", `/api/token/${key.id}/rotate`);
  };
  await confirmDialog({ title: t("keys.rotate_title", { name: key.name }), text: t("keys.rotate_text"), label: t("action.rotate"), action });
  if (made === null) return;
  void reload();
  await showOnce(made.key, t("keys.rotated_title"));
}

async function remove(key, reload) {
  const action = () => api("DELETE", `/api/token/${key.id}`);
  const isDone = await confirmDialog({ title: t("keys.delete_title", { name: key.name }), text: t("keys.delete_text"), label: t("action.delete"), action });
  if (!isDone) return;
  toast(t("keys.deleted", { name: key.name }));
  await reload();
}
