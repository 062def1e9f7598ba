// Signing in, signing up, and the first start.

import { api } from "../api.js";
import { linkButton } from "../components/button.js";
import { form, textField } from "../components/form.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { hrefOf } from "../router.js";
import { session } from "../session.js";

/** What the server takes. */
const PASSWORD_CHARACTERS_MIN = 8;
const USERNAME = /^[A-Za-z0-9._@-]{2,64}$/;

/** `/console/sign-in` */
export function signInPage() {
  const { openid, sign_up: signUp, setup_needed: isNew } = session.status;
  const next = safeNext(new URLSearchParams(location.search).get("next"));
  const fields = [
    textField({ name: "username", label: t("entrance.username"), isRequired: true, autocomplete: "username", autofocus: true, autocapitalize: "none" }),
    textField({ name: "password", label: t("entrance.password"), isRequired: true, type: "password", autocomplete: "current-password" }),
  ];
  const signIn = async ({ username, password }) => {
    await api("POST", "/api/user/login", { body: { username: username.trim(), password }, isSignIn: true });
    enter(next);
  };
  return entrance(
    t("entrance.sign_in_title"),
    isNew ? t("entrance.setup_needed") : null,
    openid?.enabled && [linkButton(t("entrance.openid", { name: openid.name }), "/api/oauth/openid", { kind: "plain wide" }), h("p.or", h("span", t("entrance.or")))],
    form({ fields, submit: t("entrance.sign_in"), onsubmit: signIn, label: t("entrance.sign_in_title") }),
    signUp !== "off" && !isNew && h("p.aside", t("entrance.no_account"), " ", h("a", { href: hrefOf("/sign-up") }, t("entrance.sign_up"))),
  );
}

/** `/console/sign-up`, with an invitation behind `#` */
export function signUpPage() {
  const { sign_up: signUp } = session.status;
  const toSignIn = h("p.aside", t("entrance.have_account"), " ", h("a", { href: hrefOf("/sign-in") }, t("entrance.sign_in")));
  if (signUp === "off") return entrance(t("entrance.sign_up_title"), t("entrance.sign_up_off"), toSignIn);
  const invitation = decodeURIComponent(location.hash.slice(1));
  const isInvited = signUp === "invitation" || invitation !== "";
  const fields = [
    isInvited && textField({ name: "invitation", label: t("entrance.invitation"), value: invitation, isRequired: signUp === "invitation", autocomplete: "off" }),
    ...credentialFields(),
  ].filter(Boolean);
  const submit = async (values) => {
    const body = { username: values.username.trim(), password: values.password };
    if (values.invitation?.trim()) body.invitation = values.invitation.trim();
    await api("POST", "/api/user/register", { body, isSignIn: true });
    enter("/");
  };
  return entrance(t("entrance.sign_up_title"), t("entrance.sign_up_lead"), form({ fields, submit: t("entrance.sign_up"), onsubmit: submit, label: t("entrance.sign_up_title") }), toSignIn);
}

/** `/console/setup#SECRET`: the first administrator */
export function setupPage() {
  const secret = decodeURIComponent(location.hash.slice(1));
  if (!session.status.setup_needed) return entrance(t("entrance.setup_title"), t("entrance.setup_done"), linkButton(t("entrance.sign_in"), hrefOf("/sign-in"), { kind: "primary" }));
  if (secret === "") return entrance(t("entrance.setup_title"), t("entrance.setup_no_secret"));
  const submit = async ({ username, password }) => {
    await api("POST", "/api/setup", { body: { secret, username: username.trim(), password }, isSignIn: true });
    enter("/");
  };
  return entrance(t("entrance.setup_title"), t("entrance.setup_lead"), form({ fields: credentialFields(), submit: t("entrance.setup_submit"), onsubmit: submit, label: t("entrance.setup_title") }));
}

/** A name and a password, twice. */
function credentialFields() {
  const password = newPasswordField();
  return [
    textField({
      name: "username",
      label: t("entrance.username"),
      hint: t("entrance.username_hint"),
      isRequired: true,
      autocomplete: "username",
      autocapitalize: "none",
      autofocus: true,
      check: (text) => (USERNAME.test(text.trim()) ? null : t("entrance.username_wrong")),
    }),
    password,
    repeatField(password),
  ];
}

export function newPasswordField(label = t("entrance.password")) {
  return textField({
    name: "password",
    label,
    hint: t("entrance.password_hint", { count: PASSWORD_CHARACTERS_MIN }),
    isRequired: true,
    type: "password",
    autocomplete: "new-password",
    check: (text) => ([...text].length >= PASSWORD_CHARACTERS_MIN ? null : t("entrance.password_hint", { count: PASSWORD_CHARACTERS_MIN })),
  });
}

export function repeatField(password) {
  return textField({
    name: "repeated",
    label: t("entrance.repeat"),
    isRequired: true,
    type: "password",
    autocomplete: "new-password",
    check: (text) => (text === password.read() ? null : t("entrance.repeat_wrong")),
  });
}

function entrance(title, lead, ...content) {
  return h("div.entrance-card", h("h1", { tabindex: "-1" }, title), lead && h("p.lead", lead), content);
}

/** Loads the page anew, so that nothing of another user is left in its memory. */
function enter(path) {
  location.replace(hrefOf(path));
}

/** A path of the console only: what comes in an address must not lead elsewhere. */
function safeNext(next) {
  return next?.startsWith("/") && !next.startsWith("//") && !next.includes("\\") ? next : "/";
}
