// Sums of what was used, read for several pages.

import { api } from "./api.js";

const DAY_MS = 86_400_000;

/** Calls whose speed is averaged. */
const SPEED_CALLS = 100;

/** Unix seconds of the last local midnight. */
export function midnight() {
  return Math.floor(new Date().setHours(0, 0, 0, 0) / 1000);
}

/** `days` days of UTC until today, as `2026-11-25`. */
export function lastDays(days) {
  const today = Date.now();
  return Array.from({ length: days }, (_, index) => new Date(today - (days - 1 - index) * DAY_MS).toISOString().slice(0, 10));
}

/** Sums by `day`, `token` or `model`: of the reader, or of everybody. */
export async function usageBy(by, { since, until = null, isEverybody = false, signal }) {
  const path = isEverybody ? "/api/data/" : "/api/data/self";
  const data = await api("GET", path, { query: { by, start_timestamp: since, end_timestamp: until }, signal });
  return data.items ?? data;
}

/** The sum of buckets. */
export function total(buckets) {
  const names = ["requests", "prompt_tokens", "cached_tokens", "completion_tokens", "quota", "errors"];
  return Object.fromEntries(names.map((name) => [name, buckets.reduce((sum, bucket) => sum + (bucket[name] ?? 0), 0)]));
}

/** A bucket for every day, also for those on which nothing was asked. */
export function fillDays(buckets, days) {
  const found = new Map(buckets.map((bucket) => [bucket.bucket, bucket]));
  return days.map((day) => ({ ...total([found.get(day) ?? {}]), bucket: day }));
}

/** The newest calls, as the log has them. */
export async function newestCalls(size, signal, since = null) {
  const { items } = await api("GET", "/api/log/self", { query: { p: 1, size, start_timestamp: since }, signal });
  return items;
}

/** Tokens a second of the streamed calls since `since`, or `null` when there were none. */
export async function averageSpeed(since, signal) {
  const calls = await newestCalls(SPEED_CALLS, signal, since);
  const timed = calls.filter((call) => speedOf(call) !== null);
  const seconds = timed.reduce((sum, call) => sum + (call.duration_ms - call.first_token_ms) / 1000, 0);
  return seconds > 0 ? timed.reduce((sum, call) => sum + call.completion_tokens - 1, 0) / seconds : null;
}

/**
 * Tokens a second after the first, or `null` where that is not known: only a stream tells when its
 * first token came.
 */
export function speedOf({ is_stream: isStream, completion_tokens: tokens, duration_ms: whole, first_token_ms: first }) {
  return isStream && tokens > 1 && whole > first ? (tokens - 1) / ((whole - first) / 1000) : null;
}
