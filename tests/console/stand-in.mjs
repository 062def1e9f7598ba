// A server with the management API's shapes and made-up data, so that every page can be looked at
// full, empty and failing without an engine. What it answers is fixed; only keys can be changed.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

/** The content security policy, as the program has it. */
async function contentPolicy(root) {
  const source = await readFile(join(root, "crates/gateway/src/console.rs"), "utf8");
  return /CONTENT_POLICY: &str = "([^"]*)"/.exec(source)[1].replace(/\\\n\s*/g, "");
}

const MODELS = ["phi-4-mini", "phi-4-mini-reasoning", "qwen3-32b"];
const DAY_SECONDS = 86_400;
const PAGE_SIZE = 20;

/** The same numbers at every run. */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

const now = () => Math.floor(Date.now() / 1000);

function administrator() {
  return { id: 1, username: "amelia", display_name: "Amelia Chen", role: 10, status: 1, quota: 42_318_400, unlimited_quota: false, used_quota: 17_681_600, request_count: 18_402, created_time: now() - 90 * DAY_SECONDS, csrf_token: "csrf" };
}

function keys() {
  const base = { status: 1, expired_time: -1, remain_quota: 0, unlimited_quota: true, model_limits_enabled: false, model_limits: "", allow_ips: "", adapters: "", modalities: "", requests_per_minute: 0, tokens_per_minute: 0, parallel_requests: 0, remain_tokens: 0, unlimited_tokens: true };
  return [
    { ...base, id: 1, name: "Support desk", key: "sk-Qm4x…9fTz", created_time: now() - 40 * DAY_SECONDS, accessed_time: now() - 240, used_quota: 9_204_113 },
    { ...base, id: 2, name: "Nightly summaries", key: "sk-b81K…0aQe", created_time: now() - 31 * DAY_SECONDS, accessed_time: now() - 9 * 3600, used_quota: 6_031_870, unlimited_quota: false, remain_quota: 3_968_130, model_limits_enabled: true, model_limits: "phi-4-mini", requests_per_minute: 60, tokens_per_minute: 100_000, parallel_requests: 4 },
    { ...base, id: 3, name: "Intern laptop", key: "sk-7hRw…Lm2P", created_time: now() - 12 * DAY_SECONDS, accessed_time: 0, used_quota: 0, status: 2, expired_time: now() + 20 * DAY_SECONDS, allow_ips: "203.0.113.0/24\n2001:db8::/32" },
    { ...base, id: 4, name: "Old prototype", key: "sk-Zc0v…4YnB", created_time: now() - 85 * DAY_SECONDS, accessed_time: now() - 30 * DAY_SECONDS, used_quota: 1_204_000, status: 3, expired_time: now() - 29 * DAY_SECONDS },
  ];
}

function dayBuckets() {
  const random = randomNumbers(7);
  return Array.from({ length: 90 }, (_, index) => {
    const at = now() - (89 - index) * DAY_SECONDS;
    const isWeekend = [0, 6].includes(new Date(at * 1000).getUTCDay());
    const requests = Math.round((isWeekend ? 60 : 240) * (0.6 + random() * 0.8));
    const prompt = Math.round(requests * (700 + random() * 500));
    return { bucket: new Date(at * 1000).toISOString().slice(0, 10), requests, prompt_tokens: prompt, cached_tokens: Math.round(prompt * (0.3 + random() * 0.25)), completion_tokens: Math.round(requests * (180 + random() * 120)), quota: Math.round(requests * 1300 * (0.7 + random() * 0.6)), errors: Math.round(random() * 4) };
  });
}

function bucketsBy(by) {
  const days = dayBuckets();
  if (by === "day") return days;
  const names = by === "token" ? ["Support desk", "Nightly summaries", "playground"] : MODELS;
  const whole = days[days.length - 1];
  return names.map((bucket, index) => Object.fromEntries(Object.entries(whole).map(([name, value]) => [name, name === "bucket" ? bucket : Math.round(value / 2 ** (index + 1))])));
}

function calls(count) {
  const random = randomNumbers(11);
  return Array.from({ length: count }, (_, index) => {
    const isStream = random() > 0.25;
    const finish = random() > 0.93 ? "aborted" : random() > 0.97 ? "error" : "stop";
    const tokens = finish === "error" ? 0 : Math.round(40 + random() * 400);
    const first = Math.round(120 + random() * 500);
    const prompt = Math.round(200 + random() * 2400);
    return { id: 9000 - index, created_at: now() - index * 731 - 40, type: "usage", user_id: 1, username: "amelia", token_id: 1 + (index % 2), token_name: ["Support desk", "Nightly summaries", "playground"][index % 3], model_name: MODELS[index % 5 === 4 ? 1 : 0], route: "/v1/chat/completions", prompt_tokens: prompt, cached_tokens: index % 3 === 0 ? Math.round(prompt / 2) : 0, completion_tokens: tokens, quota: finish === "error" ? 0 : prompt / 4 + tokens * 2 | 0, duration_ms: first + tokens * 78, first_token_ms: first, is_stream: isStream, status: finish === "error" ? 500 : 200, finish, request_id: `req_${(0x9f3a51 + index * 7919).toString(16)}` };
  });
}

const USERS = () => [
  administrator(),
  { id: 2, username: "jonas", display_name: "Jonas Weber", role: 1, status: 1, quota: 1_250_000, unlimited_quota: false, used_quota: 750_000, request_count: 812, created_time: now() - 60 * DAY_SECONDS },
  { id: 3, username: "service-desk", display_name: "", role: 1, status: 1, quota: 0, unlimited_quota: true, used_quota: 9_204_113, request_count: 15_210, created_time: now() - 40 * DAY_SECONDS },
  { id: 4, username: "li.wei", display_name: "李伟", role: 1, status: 2, quota: 500_000, unlimited_quota: false, used_quota: 0, request_count: 0, created_time: now() - 3 * DAY_SECONDS },
];

const CHANNELS = [
  { id: 1, name: "local", type: "local", base_url: "", models: "phi-4-mini,phi-4-mini-reasoning", model_mapping: {}, weight: 1, priority: 10, timeout_seconds: 60, status: 1, health: { state: "up", last_error: "", response_ms: 3 } },
  { id: 2, name: "Ray cluster", type: "openai", base_url: "http://ray.internal:8000/v1", models: "qwen3-32b", model_mapping: { "qwen3-32b": "Qwen/Qwen3-32B" }, weight: 2, priority: 0, timeout_seconds: 120, status: 1, health: { state: "down", last_error: "connection refused (10.0.4.17:8000)", response_ms: 0 } },
  { id: 3, name: "Second Phial", type: "openai", base_url: "http://phial-2.internal:8080/v1", models: "phi-4-mini", model_mapping: {}, weight: 1, priority: 0, timeout_seconds: 60, status: 1, health: { state: "open", last_error: "5 errors in a row", response_ms: 0 } },
];

const ENGINE = () => ({ models: [{ id: "phi-4-mini", loaded: true, context_tokens: 131_072, memory_bytes: 5_310_000_000, weights_bytes: 2_490_000_000, kv_bytes: 2_147_000_000, kv_used: 0.38, running: 3, waiting: 1, tokens_per_second: 31.4 + Math.sin(Date.now() / 3000) * 4, prompt_tokens_per_second: 118.2, capabilities: ["text", "tools", "json", "image", "audio"], quantisation: "Q4_K_M" }] });

const AUDIT = () => ["token.create", "token.disable", "user.credit", "channel.create", "option.change", "user.login"].map((action, index) => ({ id: 100 - index, created_at: now() - index * 5400, username: index === 4 ? "" : "amelia", action, subject: ["key 3", "key 3", "user jonas", "channel Ray cluster", "prices", ""][index], detail: index === 2 ? "+1.000000 for November" : "", ip: "203.0.113.7" }));

function paged(items, query) {
  const size = Number(query.get("size") ?? PAGE_SIZE);
  const page = Number(query.get("p") ?? 1);
  return { items: items.slice((page - 1) * size, page * size), total: items.length, page, page_size: size };
}

/** What each address of the management API answers; `state` is of one server. */
function routes(state) {
  const list = (items) => (query) => paged(state.mode === "empty" ? [] : items(), query);
  return {
    "GET /api/user/self": () => state.user,
    "POST /api/user/logout": () => {
      state.user = null;
      return null;
    },
    "PUT /api/user/self": () => null,
    "GET /api/oauth/openid/link": () => ({ has_password: true, identities: state.mode === "empty" ? [] : [{ issuer: "https://id.example.org/realms/team", subject: "7f3c-ada", created_time: now() - 40 * DAY_SECONDS }] }),
    "GET /api/user/token": () => "pat-5a1c0f7e9b2d4c6a8e0f",
    "GET /api/token/": list(() => state.keys),
    "POST /api/token/": (_, body) => ({ ...keys()[0], ...body, id: 9, key: "sk-Nf3kPq81xYzA-7hJk29dLmQwErTyUiOpAsDfGhJkLzXcVbNm1234567a9Kd2Qp" }),
    "PUT /api/token/": () => null,
    "GET /api/log/self": list(() => calls(57)),
    "GET /api/log/": list(() => calls(57)),
    "GET /api/data/self": (query) => (state.mode === "empty" ? [] : bucketsBy(query.get("by"))),
    "GET /api/data/": (query) => (state.mode === "empty" ? [] : bucketsBy(query.get("by"))),
    "GET /api/engine": () => (state.mode === "empty" ? null : ENGINE()),
    "GET /api/user/": list(USERS),
    "GET /api/invitation": list(() => [{ id: 1, created_time: now() - 3600, expired_time: now() + 6 * DAY_SECONDS, used_by: "" }, { id: 2, created_time: now() - 5 * DAY_SECONDS, expired_time: now() + 2 * DAY_SECONDS, used_by: "jonas" }, { id: 3, created_time: now() - 9 * DAY_SECONDS, expired_time: now() - 2 * DAY_SECONDS, used_by: "" }]),
    "POST /api/invitation": () => ({ id: 4, code: "3f8a-c2b1", created_time: now(), expired_time: now() + 7 * DAY_SECONDS, used_by: "" }),
    "GET /api/channel/": list(() => CHANNELS),
    "POST /api/channel/2/test": () => CHANNELS[1],
    "POST /api/channel/1/test": () => CHANNELS[0],
    "GET /api/option/": () => ({ sign_up: "invitation", new_user_quota: 1_000_000, prices: state.mode === "empty" ? {} : { "phi-4-mini": { input: 100_000, cached_input: 25_000, output: 400_000 }, "*": { input: 250_000, cached_input: 60_000, output: 900_000 } } }),
    "GET /api/audit": list(AUDIT),
  };
}

function status(state) {
  return { version: "0.1.0", name: "Phial", sign_up: state.signUp, openid: { enabled: true, name: "Example ID" }, currency: "USD", quota_per_unit: 1_000_000, models: state.mode === "empty" ? [] : MODELS, setup_needed: state.isNew, base_url: state.baseUrl };
}

/** Answers in words and, when tools are offered and none was called yet, with a call. */
async function chat(request, response) {
  const body = JSON.parse(await read(request));
  const wantsCall = body.tools && !body.messages.some(({ role }) => role === "tool");
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (choice, more = {}) => response.write(`data: ${JSON.stringify({ id: "c1", object: "chat.completion.chunk", choices: choice ? [{ index: 0, finish_reason: null, ...choice }] : [], ...more })}\n\n`);
  if (wantsCall) {
    const { name } = body.tools[0].function;
    send({ delta: { role: "assistant", tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name, arguments: "" } }] } });
    for (const part of ['{"city": ', '"Paris"', ', "unit": "celsius"}']) send({ delta: { tool_calls: [{ index: 0, function: { arguments: part } }] } });
  } else {
    const words = "Gravity is the **mutual pull** of everything that has mass.\n\n- Near the ground it gives each thing the same acceleration.\n- Between worlds it bends their paths into orbits.\n\n```python\ndef fall(seconds):\n    return 9.81 * seconds ** 2 / 2\n```\n".split(/(?<= )/);
    for (const word of words) {
      send({ delta: { content: word } });
      await new Promise((resolve) => setTimeout(resolve, 8));
    }
  }
  send({ delta: {}, finish_reason: wantsCall ? "tool_calls" : "stop" });
  send(null, { usage: { prompt_tokens: 214, completion_tokens: 61, total_tokens: 275, prompt_tokens_details: { cached_tokens: 128, audio_tokens: 0 } } });
  response.end("data: [DONE]\n\n");
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function serveFile(path, root, policy, response) {
  const name = extname(path) === "" ? "index.html" : normalize(path.replace(/^\/console\//, ""));
  try {
    const content = await readFile(join(root, "crates/gateway/console", name));
    response.writeHead(200, { "content-type": TYPES[extname(name)], "cache-control": "no-cache", "content-security-policy": policy }).end(content);
  } catch {
    response.writeHead(404).end();
  }
}

/** Starts it on a free port; `mode` is `full`, `empty` or `failing`. Ends with `close()`. */
export async function standIn(root, { mode = "full", isSignedIn = true, isNew = false, signUp = "open", port = 0 } = {}) {
  const state = { mode, isNew, signUp, policy: await contentPolicy(root), user: isSignedIn ? administrator() : null, keys: keys(), baseUrl: "" };
  const table = routes(state);
  const server = createServer((request, response) => {
    answer(request, response, state, table, root).catch((error) => response.writeHead(500).end(String(error)));
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  state.baseUrl = `${origin}/v1`;
  return { origin, close: () => server.close() };
}

async function answer(request, response, state, table, root) {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const json = (code, data) => response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(data));
  if (pathname === "/") return response.writeHead(307, { location: "/console/" }).end();
  if (pathname.startsWith("/console")) return serveFile(pathname, root, state.policy, response);
  if (pathname === "/openapi.json") return response.writeHead(200, { "content-type": "application/json" }).end(await readFile(join(root, "crates/openai/openapi.json")));
  if (pathname === "/api/status") return json(200, { success: true, message: "", data: status(state) });
  if (pathname === "/api/playground/chat/completions") return chat(request, response);
  if (pathname.startsWith("/v1/")) return json(401, { error: { message: "This key is not known", type: "invalid_request_error", param: null, code: "invalid_api_key" } });
  const route = table[`${request.method} ${pathname}`];
  if (state.user === null) return json(401, { success: false, message: "Sign in first", data: null });
  if (state.mode === "failing" && pathname !== "/api/user/self") return json(503, { success: false, message: "The database does not answer: connection refused", data: null });
  if (!route) return json(404, { success: false, message: `No such address: ${pathname}`, data: null });
  const body = request.method === "GET" ? null : JSON.parse((await read(request)) || "null");
  return json(200, { success: true, message: "", data: route(searchParams, body) });
}
