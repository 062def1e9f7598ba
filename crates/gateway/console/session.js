// Who is signed in, and what the server says of itself.

import { api, setCsrfToken } from "./api.js";
import { setMoney } from "./i18n.js";

/** Roles from this one on see the administration. */
const ADMINISTRATOR = 10;

/** `status` of the server; `user` is `null` before signing in; `ownKey` was made in this tab. */
export const session = { status: null, user: null, ownKey: null };

/** Reads the server's status and, when a session lives, its user. */
export async function openSession() {
  session.status = await api("GET", "/api/status");
  setMoney(session.status.currency, session.status.quota_per_unit);
  try {
    setUser(await api("GET", "/api/user/self", { isSignIn: true }));
  } catch (error) {
    if (error.status !== 401) throw error;
    setUser(null);
  }
}

export async function refreshUser() {
  setUser({ ...session.user, ...(await api("GET", "/api/user/self")) });
}

/** `null` signs out, on this side. */
export function setUser(user) {
  session.user = user;
  if (user === null) session.ownKey = null;
  setCsrfToken(user?.csrf_token ?? null);
}

export function isAdministrator() {
  return (session.user?.role ?? 0) >= ADMINISTRATOR;
}

/** Where clients find the API: as configured, else where this page is from. */
export function baseUrl() {
  return `${(session.status?.base_url || location.origin).replace(/\/+$/, "").replace(/\/v1$/, "")}/v1`;
}
