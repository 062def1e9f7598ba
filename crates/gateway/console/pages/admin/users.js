// Users, what they may spend, and whether they may come in.

import { api, changes } from "../../api.js";
import { button, iconButton } from "../../components/button.js";
import { confirmDialog, openDialog } from "../../components/dialog.js";
import { form, numberField, selectField, switchField, textField } from "../../components/form.js";
import { badge, card, page } from "../../components/layout.js";
import { emptyState } from "../../components/states.js";
import { pagedTable } from "../../components/table.js";
import { toast, toastError } from "../../components/toast.js";
import { h } from "../../dom.js";
import { currencyName, date, money, number, t, unitsPerOne } from "../../i18n.js";
import { refreshUser, session } from "../../session.js";
import { newPasswordField } from "../entrance.js";

const ENABLED = 1;
const DISABLED = 2;
const USER = 1;
const ADMINISTRATOR = 10;

/** `/console/admin/users` */
export function usersPage({ signal }) {
  const table = pagedTable({
    caption: t("nav.users"),
    signal,
    columns: columns(() => table.reload(true)),
    rowName: ({ username }) => username,
    load: (p, size) => api("GET", "/api/user/", { query: { p, size }, signal }),
    empty: () => emptyState({ symbol: "people", title: t("users.empty") }),
  });
  const add = button(t("users.add"), { kind: "primary", symbol: "plus", name: "add-user", onclick: () => addUser(() => table.first()) });
  return page({ title: t("nav.users"), lead: t("users.lead"), actions: add }, card({ kind: "flush" }, table));
}

function columns(reload) {
  return [
    { label: t("users.user"), kind: "main", cell: ({ username, display_name: name }) => [h("strong", username), name && name !== username && h("span.muted.small", name)] },
    { label: t("account.role"), cell: ({ role }) => t(role >= ADMINISTRATOR ? "role.administrator" : "role.user") },
    { label: t("keys.status"), cell: ({ status }) => (status === ENABLED ? badge(t("users.enabled"), "good") : badge(t("users.disabled"))) },
    { label: t("account.balance"), kind: "number", cell: (user) => (user.unlimited_quota ? t("account.unlimited") : money(user.quota)) },
    { label: t("account.used"), kind: "number", cell: ({ used_quota: used }) => money(used) },
    { label: t("overview.requests"), kind: "number", cell: ({ request_count: count }) => number(count) },
    { label: t("account.since"), cell: ({ created_time: at }) => (at > 0 ? date(at) : "–") },
    { label: t("table.actions"), kind: "actions", cell: (user) => actions(user, reload) },
  ];
}

function actions(user, reload) {
  const isEnabled = user.status === ENABLED;
  const isSelf = user.id === session.user.id;
  const named = (words) => t("keys.action_of", { action: words, name: user.username });
  const turn = async () => {
    try {
      await api("PUT", "/api/user/", { body: { id: user.id, status: isEnabled ? DISABLED : ENABLED } });
      toast(t("state.saved"));
      await reload();
    } catch (error) {
      toastError(error);
    }
  };
  return h(
    "div.row-actions",
    button(t("users.credit"), { kind: "quiet small", name: "credit", onclick: () => credit(user, reload), "aria-label": named(t("users.credit")) }),
    !isSelf && button(t(isEnabled ? "action.disable" : "action.enable"), { kind: "quiet small", onclick: turn, "aria-label": named(t(isEnabled ? "action.disable" : "action.enable")) }),
    iconButton("edit", named(t("action.edit")), { onclick: () => edit(user, reload), "data-name": "edit" }),
    !isSelf && iconButton("trash", named(t("action.delete")), { onclick: () => remove(user, reload), "data-name": "delete" }),
  );
}

function roleField(value) {
  return selectField({ name: "role", label: t("account.role"), value: String(value), options: [[String(USER), t("role.user")], [String(ADMINISTRATOR), t("role.administrator")]] });
}

async function addUser(done) {
  const isDone = await openDialog({
    title: t("users.add"),
    content: (close) =>
      form({
        fields: [textField({ name: "username", label: t("entrance.username"), hint: t("entrance.username_hint"), isRequired: true, autocomplete: "off", autocapitalize: "none", autofocus: true }), newPasswordField(), roleField(USER)],
        submit: t("users.add"),
        oncancel: () => close(),
        onsubmit: async ({ username, password, role }) => {
          await api("POST", "/api/user/", { body: { username: username.trim(), password, role: Number(role) } });
          close(true);
        },
      }),
  });
  if (isDone === null) return;
  toast(t("users.added"));
  await done();
}

/** Adds money to a balance, or takes it: the ledger keeps every such row with its note. */
async function credit(user, reload) {
  const isDone = await openDialog({
    title: t("users.credit_title", { name: user.username }),
    lead: t("users.credit_lead", { amount: user.unlimited_quota ? t("account.unlimited") : money(user.quota) }),
    kind: "small",
    content: (close) =>
      form({
        fields: [
          numberField({ name: "amount", label: t("users.amount", { currency: currencyName() }), hint: t("users.amount_hint"), isRequired: true, min: -1e9, max: 1e9, autofocus: true }),
          textField({ name: "note", label: t("users.note"), maxlength: 200, autocomplete: "off" }),
        ],
        submit: t("users.credit"),
        oncancel: () => close(),
        onsubmit: async ({ amount, note }) => {
          await api("POST", `/api/user/${user.id}/credit`, { body: { amount: Math.round(amount * unitsPerOne()), note: note.trim() } });
          close(true);
        },
      }),
  });
  if (isDone === null) return;
  toast(t("state.saved"));
  if (user.id === session.user.id) await refreshUser();
  await reload();
}

async function edit(user, reload) {
  const isSelf = user.id === session.user.id;
  const fields = [
    textField({ name: "display_name", label: t("account.display_name"), value: user.display_name, isRequired: true, maxlength: 100, autocomplete: "off" }),
    switchField({ name: "unlimited_quota", label: t("users.unlimited_quota"), value: user.unlimited_quota }),
    !isSelf && roleField(user.role >= ADMINISTRATOR ? ADMINISTRATOR : USER),
    !isSelf && textField({ name: "password", label: t("users.new_password"), hint: t("users.new_password_hint"), type: "password", autocomplete: "new-password" }),
  ].filter(Boolean);
  const isDone = await openDialog({
    title: t("users.edit_title", { name: user.username }),
    content: (close) =>
      form({
        fields,
        submit: t("action.save"),
        oncancel: () => close(),
        onsubmit: async ({ display_name: name, unlimited_quota: isUnlimited, role, password }) => {
          const body = { id: user.id, ...changes({ display_name: name.trim(), unlimited_quota: isUnlimited }, user) };
          if (role && Number(role) !== user.role) body.role = Number(role);
          if (password) body.password = password;
          await api("PUT", "/api/user/", { body });
          close(true);
        },
      }),
  });
  if (isDone === null) return;
  toast(t("state.saved"));
  await reload();
}

async function remove(user, reload) {
  const action = () => api("DELETE", `/api/user/${user.id}`);
  const isDone = await confirmDialog({ title: t("users.delete_title", { name: user.username }), text: t("users.delete_text"), label: t("action.delete"), action });
  if (!isDone) return;
  toast(t("users.deleted", { name: user.username }));
  await reload();
}
