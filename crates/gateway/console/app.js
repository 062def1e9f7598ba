// The console's beginning: who is signed in, and which page is shown.

import { whenSessionEnds } from "./api.js";
import { errorState, skeleton } from "./components/states.js";
import { h, replace } from "./dom.js";
import { t } from "./i18n.js";
import { accountPage } from "./pages/account.js";
import { auditPage } from "./pages/admin/audit.js";
import { invitationsPage } from "./pages/admin/invitations.js";
import { optionsPage } from "./pages/admin/options.js";
import { upstreamsPage } from "./pages/admin/upstreams.js";
import { usersPage } from "./pages/admin/users.js";
import { keysPage } from "./pages/keys.js";
import { modelsPage } from "./pages/models.js";
import { overviewPage } from "./pages/overview.js";
import { playgroundPage } from "./pages/playground.js";
import { referencePage } from "./pages/reference.js";
import { setupPage, signInPage, signUpPage } from "./pages/entrance.js";
import { usagePage } from "./pages/usage.js";
import { navigate, redraw, start } from "./router.js";
import { isAdministrator, openSession, refreshUser, session, setUser } from "./session.js";
import { entranceFrame, frame } from "./shell.js";

/** `name` is the key of the page's title. */
const ROUTES = {
  "/": { page: overviewPage, name: "nav.overview" },
  "/keys": { page: keysPage, name: "nav.keys" },
  "/usage": { page: usagePage, name: "nav.usage" },
  "/playground": { page: playgroundPage, name: "nav.playground", isWide: true },
  "/models": { page: modelsPage, name: "nav.models" },
  "/reference": { page: referencePage, name: "nav.reference", takesRest: true, isWide: true },
  "/account": { page: accountPage, name: "nav.account" },
  "/admin/users": { page: usersPage, name: "nav.users", isAdministrator: true },
  "/admin/invitations": { page: invitationsPage, name: "nav.invitations", isAdministrator: true },
  "/admin/upstreams": { page: upstreamsPage, name: "nav.upstreams", isAdministrator: true },
  "/admin/options": { page: optionsPage, name: "nav.options", isAdministrator: true },
  "/admin/audit": { page: auditPage, name: "nav.audit", isAdministrator: true },
  "/sign-in": { page: signInPage, name: "nav.sign_in", isPublic: true },
  "/sign-up": { page: signUpPage, name: "nav.sign_up", isPublic: true },
  "/setup": { page: setupPage, name: "nav.setup", isPublic: true },
};

const place = document.getElementById("app");

/** Until a link was followed, the browser's own order of focus holds: the skip link comes first. */
let isFirst = true;

function draw(route, context) {
  if (!route?.isPublic && session.user === null) {
    const wanted = `${location.pathname}${location.search}`.slice("/console".length);
    const isHome = wanted === "" || wanted === "/";
    navigate(isHome ? "/sign-in" : `/sign-in?next=${encodeURIComponent(wanted)}`, { isReplacing: true });
    return;
  }
  const isAllowed = route !== null && (!route.isAdministrator || isAdministrator());
  document.title = `${t(isAllowed ? route.name : "missing.title")} · Phial`;
  const content = isAllowed ? route.page(context) : missing();
  replace(place, route?.isPublic ? entranceFrame(content) : frame(content, route ?? {}));
  if (context.isSame) return;
  // What is wrong with the server, the page itself will tell.
  if (session.user !== null && !isFirst) refreshUser(context.signal).catch(() => {});
  scrollTo(0, 0);
  // The heading, so that readers of the screen hear where they are; forms have their own first field.
  const first = place.querySelector("[autofocus]") ?? (isFirst ? null : place.querySelector("h1"));
  isFirst = false;
  first?.focus({ preventScroll: true });
}

function missing() {
  return h("div.page", h("header.page-head", h("div", h("h1", { tabindex: "-1" }, t("missing.title")), h("p.lead", t("missing.text")))));
}

async function begin() {
  replace(place, h("main.boot", skeleton(5)));
  try {
    await openSession();
  } catch (error) {
    replace(place, h("main.boot", errorState(error, begin)));
    return;
  }
  start(ROUTES, draw);
}

whenSessionEnds(() => {
  if (session.user === null) return;
  setUser(null);
  redraw();
});

void begin();
