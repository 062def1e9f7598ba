// Addresses and their pages. Links within the console do not load anew.

/** `{path: {page, isPublic, isAdministrator}}`; set by `start`. */
let routes = {};
let render = () => {};
let leave = new AbortController();

/** Below this, everything is the console's. */
const ROOT = "/console";

/**
 * Shows the page of the present address with `draw(route, context)`, and again whenever it changes.
 * `context.signal` ends when the page is left; `context.rest` is what follows the route's path.
 */
export function start(table, draw) {
  routes = table;
  render = draw;
  addEventListener("popstate", () => show());
  document.addEventListener("click", follow);
  show();
}

/** Goes to `path`, below `/console`. */
export function navigate(path, { isReplacing = false } = {}) {
  const address = `${ROOT}${path}`;
  if (isReplacing) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  show();
}

/** Draws the present page anew: after a change of language, or of who is signed in. */
export function redraw() {
  show(true);
}

/** The address of a page as a link has it. */
export function hrefOf(path) {
  return `${ROOT}${path}`;
}

function show(isSame = false) {
  leave.abort();
  leave = new AbortController();
  const path = location.pathname.slice(ROOT.length).replace(/\/+$/, "") || "/";
  const [route, rest] = match(path);
  render(route, { path, rest, signal: leave.signal, isSame });
}

/** The longest route that begins the path, in whole parts; the rest goes to the page. */
function match(path) {
  const parts = path.split("/");
  for (let count = parts.length; count > 0; count -= 1) {
    const prefix = parts.slice(0, count).join("/") || "/";
    const route = routes[prefix];
    const rest = parts.slice(count).join("/");
    if (route && (rest === "" || route.takesRest)) return [{ ...route, path: prefix }, decodeURIComponent(rest)];
  }
  return [null, ""];
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
  const { origin, pathname, hash, search } = new URL(link.href);
  if (origin !== location.origin || !(pathname === ROOT || pathname.startsWith(`${ROOT}/`))) return;
  event.preventDefault();
  if (pathname === location.pathname && hash) {
    document.getElementById(hash.slice(1))?.focus();
    return;
  }
  navigate(pathname.slice(ROOT.length) + search + hash);
}
