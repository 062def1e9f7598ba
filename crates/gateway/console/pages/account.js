// The personal centre: profile, password, personal access token.

import { api } from "../api.js";
import { button } from "../components/button.js";
import { copyButton } from "../components/copy.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { form, textField } from "../components/form.js";
import { badge, card, facts, figure, figures, page } from "../components/layout.js";
import { loaded } from "../components/states.js";
import { toast, toastError } from "../components/toast.js";
import { h } from "../dom.js";
import { date, money, number, t } from "../i18n.js";
import { redraw } from "../router.js";
import { isAdministrator, refreshUser, session } from "../session.js";
import { codeBlock } from "../components/code.js";
import { newPasswordField, repeatField } from "./entrance.js";

/** `/console/account` */
export function accountPage({ signal }) {
  const place = loaded({ signal, lines: 2, load: () => refreshUser(signal), show: standing });
  return page({ title: t("nav.account"), lead: t("account.lead") }, place, h("div.columns.even", profile(), password()), session.status.openid?.enabled && otherSignIn(signal), accessToken());
}

function standing() {
  const { user } = session;
  return figures(
    figure(t("account.balance"), user.unlimited_quota ? t("account.unlimited") : money(user.quota), t("account.balance_note")),
    figure(t("account.used"), money(user.used_quota), t("account.used_note")),
    figure(t("overview.requests"), number(user.request_count), t("account.requests_note")),
  );
}

function profile() {
  const { user } = session;
  const save = async (values) => {
    await api("PUT", "/api/user/self", { body: { display_name: values.display_name.trim() } });
    await refreshUser();
    toast(t("state.saved"));
    redraw();
  };
  const role = badge(t(isAdministrator() ? "role.administrator" : "role.user"), isAdministrator() ? "good" : "");
  return card(
    { title: t("account.profile") },
    facts([
      [t("entrance.username"), user.username],
      [t("account.role"), role],
      user.created_time > 0 && [t("account.since"), date(user.created_time)],
    ]),
    form({ fields: [textField({ name: "display_name", label: t("account.display_name"), value: user.display_name, isRequired: true, maxlength: 100, autocomplete: "name" })], submit: t("action.save"), onsubmit: save, label: t("account.profile") }),
  );
}

function password() {
  const fresh = newPasswordField(t("account.new_password"));
  const save = async (values) => {
    await api("PUT", "/api/user/self", { body: { original_password: values.original_password, password: values.password } });
    toast(t("account.password_changed"));
    // The session may have been made anew with the password.
    await refreshUser();
    place.replaceWith(password());
  };
  const place = card(
    { title: t("account.password") },
    form({
      fields: [textField({ name: "original_password", label: t("account.present_password"), type: "password", isRequired: true, autocomplete: "current-password" }), fresh, repeatField(fresh)],
      submit: t("account.change_password"),
      kind: "plain",
      onsubmit: save,
      label: t("account.password"),
    }),
  );
  return place;
}

function accessToken() {
  const example = `curl ${location.origin}/api/token/ -H 'Authorization: ${t("account.your_token")}'`;
  return card(
    { title: t("account.access_token"), hint: t("account.access_token_hint") },
    codeBlock(example, t("account.access_token")),
    h("div.actions.start", button(t("account.make_token"), { symbol: "key", name: "make-token", onclick: makeToken })),
  );
}

async function makeToken() {
  let token = null;
  const action = async () => {
    const data = await api("GET", "/api/user/token");
    token = typeof data === "string" ? data : data.token;
  };
  await confirmDialog({ title: t("account.make_token"), text: t("account.make_token_text"), label: t("account.make_token"), kind: "primary", action });
  if (token === null) return;
  await openDialog({
    title: t("account.token_made"),
    lead: t("keys.once"),
    isSticky: true,
    content: (close) =>
      h(
        "div.once",
        h("div.secret", h("input", { class: "code", readOnly: true, value: token, "aria-label": t("account.access_token"), onfocus: (event) => event.target.select() }), copyButton(() => token, { label: t("action.copy"), kind: "primary" })),
        h("div.actions", button(t("keys.have_it"), { kind: "primary", name: "done", onclick: () => close() })),
      ),
  });
}

/** Signing in by another service, beside the password. */
function otherSignIn(signal) {
  const { name } = session.status.openid;
  const begin = async () => {
    location.assign(await api("POST", "/api/oauth/openid/link"));
  };
  const end = async () => {
    await confirmDialog({ title: t("account.unlink", { name }), text: t("account.unlink_text", { name }), label: t("account.unlink", { name }), action: () => api("DELETE", "/api/oauth/openid/link") });
    redraw();
  };
  const show = ({ identities, has_password: hasPassword }) => {
    if (identities.length === 0) return h("div.actions.start", button(t("account.link", { name }), { name: "link-openid", onclick: () => begin().catch(toastError) }));
    const rows = identities.map(({ issuer, subject, created_time: since }) => [subject, `${issuer} · ${date(since)}`]);
    const unlink = button(t("account.unlink", { name }), { name: "unlink-openid", onclick: end });
    return [facts(rows), hasPassword ? h("div.actions.start", unlink) : h("p.muted", t("account.only_way"))];
  };
  return card({ title: name, hint: t("account.link_hint", { name }) }, loaded({ signal, lines: 2, load: () => api("GET", "/api/oauth/openid/link", { signal }), show }));
}
