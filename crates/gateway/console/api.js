// The management API: one function, one error.

import { t } from "./i18n.js";

/** What went wrong, in words for the reader. `status` is 0 when the server was not reached. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let csrfToken = null;
let onSessionEnd = () => {};

/** The token that every request but GET must carry; comes with the user. */
export function setCsrfToken(token) {
  csrfToken = token;
}

/** Called when the server no longer knows the session. */
export function whenSessionEnds(callback) {
  onSessionEnd = callback;
}

/** The headers of a request by the session. */
export function sessionHeaders(method) {
  return method === "GET" || csrfToken === null ? {} : { "X-CSRF-Token": csrfToken };
}

/**
 * Calls `/api…` and returns `data` of its answer.
 *
 * `query` leaves out `null` and empty values. Throws `ApiError`, or the `AbortError` of `signal`.
 */
export async function api(method, path, { body, query, signal, isSignIn = false } = {}) {
  const headers = sessionHeaders(method);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const text = body === undefined ? undefined : JSON.stringify(body);
  const request = { method, headers, body: text, signal, credentials: "same-origin", cache: "no-store" };
  const response = await reach(`${path}${encodeQuery(query)}`, request);
  const answer = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.status === 401 && !isSignIn) onSessionEnd();
  if (!response.ok || answer?.success !== true) {
    throw new ApiError(answerText(answer) ?? t("error.status", { status: String(response.status) }), response.status);
  }
  return answer.data;
}

/** Fields of `values` that differ from those of `known`: what is not changed must not be written back. */
export function changes(values, known) {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== known[name]));
}

/** `fetch`, whose failures say what to do. */
export async function reach(address, request) {
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(t("error.network"), 0);
  }
}

/** The text of an error in the shape of the management or of the public API. */
export function answerText(answer) {
  const text = answer?.error?.message ?? answer?.message;
  return typeof text === "string" && text !== "" ? text : null;
}

function encodeQuery(query = {}) {
  const used = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return used.length === 0 ? "" : `?${new URLSearchParams(used)}`;
}
