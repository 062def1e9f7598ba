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

let onUser = () => {};

/** Called with the user whenever it was read anew; the last one given counts. */
export function whenUserIsRead(callback) {
  onUser = callback;
}

/** Reads the user anew: balances fall while keys are used. */
export async function refreshUser(signal) {
  const user = await api("GET", "/api/user/self", { signal });
  setUser({ ...session.user, ...user });
  onUser(session.user);
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
