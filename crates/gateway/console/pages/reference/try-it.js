// Sends a request of the reference, with the reader's own key, and shows what comes back.

import { reach } from "../../api.js";
import { button } from "../../components/button.js";
import { codeTabs } from "../../components/code.js";
import { areaField, textField } from "../../components/form.js";
import { badge } from "../../components/layout.js";
import { h, replace } from "../../dom.js";
import { duration, t } from "../../i18n.js";
import { baseUrl, session } from "../../session.js";
import { requestSnippets } from "../../snippets.js";
import { pretty } from "../playground/turns.js";
import { exampleBody, resolve } from "./document.js";

/** What is shown of an answer; the rest would only slow the page. */
const SHOWN_CHARACTERS_MAX = 200_000;

/** The form of `operation`, its code, and its answer. */
export function tryIt(document, operation, signal) {
  const model = session.status.models[0] ?? "";
  const key = textField({ name: "key", label: t("reference.key"), hint: session.ownKey ? t("reference.key_filled") : t("reference.key_hint"), value: session.ownKey ?? "", type: "password", autocomplete: "off", spellcheck: "false" });
  const parameters = operation.parameters.filter((parameter) => parameter.in !== "header").map((parameter) => [parameter, textField({ name: parameter.name, label: parameter.name, hint: parameter.description, isRequired: parameter.required === true, value: parameter.name === "id" && operation.path.startsWith("/v1/models") ? model : "", autocomplete: "off" })]);
  const body = operation.body === null ? null : operation.isForm ? formBody(document, operation) : jsonBody(document, operation, model);
  const code = h("div");
  const draw = () => replace(code, codeTabs(snippets(operation, key.read(), parameters, body), t("reference.code")));
  const answer = h("div.answer", { "aria-live": "polite" });
  const fields = [key, ...parameters.map(([, field]) => field), ...(body?.fields ?? [])];
  let stopper = null;
  const stop = button(t("playground.stop"), { symbol: "stop", onclick: () => stopper?.abort() });
  stop.hidden = true;
  const send = async () => {
    session.ownKey = key.read().trim() || null;
    stopper = new AbortController();
    signal.addEventListener("abort", () => stopper.abort(), { once: true });
    stop.hidden = false;
    try {
      await exchange(request(operation, key.read().trim(), parameters, body, stopper.signal), answer);
    } finally {
      stop.hidden = true;
    }
  };
  const submit = button(t("reference.send"), { kind: "primary", symbol: "send", type: "submit", name: "send-request" });
  const form = h("form.try", { novalidate: true, "aria-label": t("reference.try"), oninput: draw, onchange: draw }, fields.map(({ element }) => element), h("div.actions.start", submit, stop));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (submit.getAttribute("aria-busy") === "true" || !areRight(fields)) return;
    submit.setAttribute("aria-busy", "true");
    void send().finally(() => submit.removeAttribute("aria-busy"));
  });
  draw();
  return h("div.try-it", form, h("div.stack.tight", code, answer));
}

function areRight(fields) {
  const wrong = fields.filter((field) => {
    field.fail(field.check());
    return field.check() !== null;
  });
  wrong[0]?.input.focus();
  return wrong.length === 0;
}

function jsonBody(document, operation, model) {
  const text = JSON.stringify(exampleBody(document, operation, model), null, 2);
  const check = (value) => {
    try {
      JSON.parse(value);
      return null;
    } catch (error) {
      return t("playground.json_wrong", { problem: error.message });
    }
  };
  const field = areaField({ name: "body", label: t("reference.body"), value: text, rows: Math.min(18, text.split("\n").length + 1), isCode: true, check });
  return { fields: [field], read: () => field.read(), headers: { "Content-Type": "application/json" }, shown: () => (check(field.read()) === null ? JSON.parse(field.read()) : {}) };
}

function formBody(document, operation) {
  const schema = resolve(document, operation.body);
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, unresolved]) => {
    const inner = resolve(document, unresolved);
    const isFile = inner.format === "binary" || name === "file";
    return textField({ name, label: name, hint: inner.description ?? inner.enum?.join(", "), type: isFile ? "file" : "text", isRequired: required.has(name), value: isFile ? "" : String(inner.const ?? inner.enum?.[0] ?? "") });
  });
  const given = () => fields.filter((field) => field.read() !== "");
  return {
    fields,
    headers: {},
    read: () => {
      const form = new FormData();
      for (const field of given()) form.append(field.name, field.input.type === "file" ? field.input.files[0] : field.read());
      return form;
    },
    shown: () => Object.fromEntries(given().map((field) => [field.name, field.input.type === "file" ? `@${field.input.files[0].name}` : field.read()])),
  };
}

function pathOf(operation, parameters) {
  let path = operation.path;
  const query = new URLSearchParams();
  for (const [parameter, field] of parameters) {
    // Names of models have slashes, which stay what they are.
    const value = field.read().split("/").map(encodeURIComponent).join("/");
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, value || `{${parameter.name}}`);
    else if (field.read() !== "") query.set(parameter.name, field.read());
  }
  return query.size > 0 ? `${path}?${query}` : path;
}

function request(operation, key, parameters, body, signal) {
  const headers = { ...(key === "" ? {} : { Authorization: `Bearer ${key}` }), ...body?.headers };
  return [pathOf(operation, parameters), { method: operation.method, headers, body: body?.read(), credentials: "omit", cache: "no-store", signal }];
}

function snippets(operation, key, parameters, body) {
  const base = baseUrl();
  return requestSnippets({
    origin: base.replace(/\/v1$/, ""),
    base,
    path: pathOf(operation, parameters),
    method: operation.method,
    operation: operation.id,
    key: key.trim() || null,
    body: body?.shown() ?? null,
    isForm: operation.isForm,
  });
}

async function exchange([path, options], place) {
  const started = performance.now();
  const head = h("div.answer-head");
  const text = h("pre", { tabindex: "0", "aria-label": t("reference.answer") });
  replace(place, h("p.muted", t("playground.answering")));
  try {
    // The API may be at another address than the console.
    const response = await reach(`${session.status.api_origin ?? ""}${path}`, options);
    const kind = response.ok ? "good" : "bad";
    const tell = () => replace(head, badge(`${response.status} ${response.statusText}`.trim(), kind), h("span.muted", duration(performance.now() - started)), requestId(response));
    tell();
    replace(place, head, text);
    await readInto(text, response);
    tell();
  } catch (error) {
    if (error.name === "AbortError") place.append(h("p.muted", t("playground.end_stopped")));
    else replace(place, h("p.turn-error", { role: "alert" }, error.message));
  }
}

function requestId(response) {
  const id = response.headers.get("x-request-id");
  return id && h("code.muted.small", id);
}

async function readInto(place, response) {
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let whole = "";
  for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
    whole += part.value;
    if (isStream) place.textContent = shortened(whole);
  }
  place.textContent = shortened(isStream ? whole : pretty(whole));
}

function shortened(text) {
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}
