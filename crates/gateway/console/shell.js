// What surrounds a page: navigation, language, theme, who is signed in.

import { api } from "./api.js";
import { iconButton } from "./components/button.js";
import { icon, mark } from "./components/icons.js";
import { toastError } from "./components/toast.js";
import { h, replace } from "./dom.js";
import { LANGUAGES, currentLanguage, money, setLanguage, t } from "./i18n.js";
import { hrefOf, redraw } from "./router.js";
import { isAdministrator, session, whenUserIsRead } from "./session.js";
import { store, stored } from "./storage.js";

const WORK = [
  ["/", "overview", "nav.overview"],
  ["/keys", "key", "nav.keys"],
  ["/usage", "usage", "nav.usage"],
  ["/playground", "playground", "nav.playground"],
  ["/models", "model", "nav.models"],
  ["/reference", "reference", "nav.reference"],
];

const ADMINISTRATION = [
  ["/admin/users", "people", "nav.users"],
  ["/admin/invitations", "invitation", "nav.invitations"],
  ["/admin/upstreams", "upstream", "nav.upstreams"],
  ["/admin/options", "options", "nav.options"],
  ["/admin/audit", "audit", "nav.audit"],
];

const THEMES = [
  ["system", "system"],
  ["light", "light"],
  ["dark", "dark"],
];

/** A page of someone who is signed in. */
export function frame(content, { path = "", isWide = false }) {
  const side = h("aside.side", { id: "side", "aria-label": t("nav.menu") }, brand(), navigation(path), sideFoot());
  const open = iconButton("menu", t("nav.menu"), { "aria-expanded": "false", "aria-controls": "side", onclick: () => toggle(!side.classList.contains("open")) });
  const toggle = (isOpen) => {
    side.classList.toggle("open", isOpen);
    open.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) side.querySelector("nav a")?.focus();
    else open.focus();
  };
  const shade = h("div.shade", { onclick: () => toggle(false) });
  side.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && side.classList.contains("open")) toggle(false);
  });
  return h(
    "div.frame",
    skipLink(),
    h("header.top", open, brand()),
    side,
    shade,
    h("main", { id: "content", tabindex: "-1", class: isWide ? "wide" : "" }, content),
  );
}

/** A page of someone who is not. */
export function entranceFrame(content) {
  return h("div.entrance", skipLink(), h("header.entrance-head", brand(), h("div.settings", languageChoice(), themeChoice())), h("main", { id: "content", tabindex: "-1" }, content));
}

function skipLink() {
  return h("a.skip", { href: "#content" }, t("nav.skip"));
}

function brand() {
  return h("a.brand", { href: hrefOf("/") }, mark(), h("span", session.status?.name || "Phial"));
}

function navigation(path) {
  const group = (title, entries) => h("div.nav-group", title && h("h2", title), h("ul", entries.map((entry) => navigationEntry(entry, path))));
  return h(
    "nav",
    { "aria-label": t("nav.main") },
    group(null, WORK),
    group(t("nav.personal"), [["/account", "person", "nav.account"]]),
    isAdministrator() && group(t("nav.administration"), ADMINISTRATION),
  );
}

function navigationEntry([to, symbol, words], path) {
  return h("li", h("a", { href: hrefOf(to), "aria-current": to === path ? "page" : null }, icon(symbol), h("span", t(words))));
}

function sideFoot() {
  const { user } = session;
  const words = ({ unlimited_quota: isUnlimited, quota }) => (isUnlimited ? t("account.unlimited") : t("nav.balance", { amount: money(quota) }));
  const balance = h("span", words(user));
  whenUserIsRead((changed) => replace(balance, words(changed)));
  return h(
    "div.side-foot",
    h("div.settings", languageChoice(), themeChoice()),
    h(
      "div.who",
      h("span.avatar", { "aria-hidden": "true" }, [...(user.display_name || user.username)][0].toUpperCase()),
      h("div.who-words", h("strong", user.display_name || user.username), balance),
      iconButton("leave", t("nav.sign_out"), { onclick: signOut, "data-name": "sign-out" }),
    ),
  );
}

async function signOut() {
  try {
    await api("POST", "/api/user/logout");
  } catch (error) {
    // Without the server, the cookie stays: saying that one is signed out would be wrong.
    toastError(error);
    return;
  }
  // Anew, so that keys and conversations are gone from the page's memory.
  location.assign(hrefOf("/sign-in"));
}

function languageChoice() {
  const select = h(
    "select.language",
    {
      "aria-label": t("nav.language"),
      onchange: () => {
        setLanguage(select.value);
        redraw();
      },
    },
    Object.entries(LANGUAGES).map(([value, name]) => h("option", { value, lang: value }, name)),
  );
  select.value = currentLanguage();
  return select;
}

function themeChoice() {
  const present = stored("theme") ?? "system";
  const next = THEMES[(THEMES.findIndex(([name]) => name === present) + 1) % THEMES.length][0];
  const label = t("nav.theme", { theme: t(`theme.${present}`), next: t(`theme.${next}`) });
  const choose = () => {
    store("theme", next === "system" ? null : next);
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    const changed = themeChoice();
    element.replaceWith(changed);
    changed.focus();
  };
  const element = iconButton(THEMES.find(([name]) => name === present)[1], label, { onclick: choose, "data-name": "theme" });
  return element;
}
