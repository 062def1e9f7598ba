// Asks for an answer and reads its stream.

import { ApiError, answerText, reach, sessionHeaders } from "../../api.js";
import { t } from "../../i18n.js";
import { events } from "../../sse.js";

const ADDRESS = "/api/playground/chat/completions";

/** A turn that an answer will fill. */
export function emptyAnswer() {
  return { role: "assistant", text: "", calls: [], usage: null, finish: null, error: null, isPending: true, startedMs: performance.now(), firstMs: null, lastMs: null };
}

/**
 * Fills `answer` from the server; `onchange` is called for whatever arrives. Ends by itself when
 * `signal` does: then what came so far is the answer.
 */
export async function ask(body, answer, { signal, onchange }) {
  try {
    const response = await reach(ADDRESS, { method: "POST", headers: { "Content-Type": "application/json", ...sessionHeaders("POST") }, body: JSON.stringify(body), signal, credentials: "same-origin" });
    if (!response.ok) throw new ApiError(answerText(await response.json().catch(() => null)) ?? t("error.status", { status: String(response.status) }), response.status);
    await readStream(response, answer, onchange);
    if (answer.finish === null) throw new ApiError(t("playground.cut"), 0);
  } catch (error) {
    // Half of a call cannot be answered.
    answer.calls = [];
    if (error.name === "AbortError") answer.finish = "stopped";
    else answer.error = error instanceof ApiError ? error.message : t("playground.cut");
  } finally {
    answer.isPending = false;
    onchange();
  }
}

async function readStream(response, answer, onchange) {
  for await (const data of events(response)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiError(answerText(chunk) ?? t("playground.cut"), 0);
    take(chunk, answer);
    onchange();
  }
}

function take({ choices, usage }, answer) {
  if (usage) answer.usage = usage;
  const choice = choices?.[0];
  if (!choice) return;
  const { content, tool_calls: calls } = choice.delta ?? {};
  if (content || calls) {
    answer.lastMs = performance.now();
    answer.firstMs ??= answer.lastMs;
  }
  if (content) answer.text += content;
  for (const part of calls ?? []) takeCall(part, answer.calls);
  if (choice.finish_reason) answer.finish = choice.finish_reason;
}

/** A call comes in parts: id and name first, then its arguments piece by piece. */
function takeCall({ index, id, function: part }, calls) {
  const call = (calls[index] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
  if (id) call.id = id;
  if (part?.name) call.function.name += part.name;
  if (part?.arguments) call.function.arguments += part.arguments;
}

/** What comes within this time came at once: a speed of it would say nothing. */
const SPEED_MS_MIN = 200;

/** Tokens a second after the first, as this page saw them, or `null`. */
export function seenSpeed({ usage, firstMs, lastMs }) {
  const tokens = usage?.completion_tokens ?? 0;
  return tokens > 1 && lastMs - firstMs >= SPEED_MS_MIN ? (tokens - 1) / ((lastMs - firstMs) / 1000) : null;
}
