// The same request in several languages, ready to run.

/** What stands for a key that this page does not know. */
const KEY_PLACEHOLDER = "sk-…";

/** A chat as curl, Python and JavaScript; `key` may be `null`. */
export function chatSnippets({ base, key, body }) {
  return [
    ["curl", curl({ address: `${base}/chat/completions`, method: "POST", key, body, isStream: body.stream })],
    ["Python", clientInPython({ base, key, call: "chat.completions.create", body, last: pythonEnd(body.stream) })],
    ["JavaScript", clientInScript({ base, key, call: "chat.completions.create", body, last: scriptEnd(body.stream) })],
  ];
}

function pythonEnd(isStream) {
  if (!isStream) return ["print(answer.choices[0].message)"];
  return ["for chunk in answer:", "    if chunk.choices:", '        print(chunk.choices[0].delta.content or "", end="", flush=True)'];
}

function scriptEnd(isStream) {
  if (!isStream) return ["console.log(answer.choices[0].message);"];
  return ["for await (const chunk of answer) {", '  process.stdout.write(chunk.choices[0]?.delta.content ?? "");', "}"];
}

/** Calls for which the official clients have a method. */
const CLIENT_CALLS = {
  createChatCompletion: "chat.completions.create",
  createCompletion: "completions.create",
  createEmbedding: "embeddings.create",
  createResponse: "responses.create",
  listModels: "models.list",
};

/**
 * Any request as curl, Python and JavaScript. `origin` is where the server is, `base` its `/v1`;
 * `isForm` marks a body whose fields are files and words.
 */
export function requestSnippets({ origin, base, path, method, operation, key, body = null, isForm = false }) {
  const call = CLIENT_CALLS[operation];
  const address = `${origin}${path}`;
  const shell = ["curl", curl({ address, method, key, body, isForm, isStream: body?.stream })];
  if (operation === "createChatCompletion") return [shell, ...chatSnippets({ base, key, body: body ?? {} }).slice(1)];
  if (call) return [shell, ["Python", clientInPython({ base, key, call, body, last: ["print(answer)"] })], ["JavaScript", clientInScript({ base, key, call, body, last: ["console.log(answer);"] })]];
  return [shell, ["Python", plainPython({ address, method, key, body, isForm })], ["JavaScript", plainScript({ address, method, key, body, isForm })]];
}

function curl({ address, method, key, body, isForm = false, isStream = false }) {
  const lines = [`curl ${isStream ? "-N " : ""}${quoted(address)}`];
  if (method !== "GET" && !(method === "POST" && body !== null)) lines.push(`-X ${method}`);
  lines.push(`-H ${quoted(`Authorization: Bearer ${key ?? KEY_PLACEHOLDER}`)}`);
  if (body !== null && isForm) {
    for (const [name, value] of Object.entries(body)) lines.push(`-F ${quoted(`${name}=${value}`)}`);
  } else if (body !== null) {
    lines.push(`-H ${quoted("Content-Type: application/json")}`, `-d ${quoted(JSON.stringify(body, null, 2))}`);
  }
  return lines.join(" \\\n  ");
}

/** For a POSIX shell. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function clientInPython({ base, key, call, body, last }) {
  const lines = ["from openai import OpenAI", "", `client = OpenAI(base_url=${python(base)}, api_key=${python(key ?? KEY_PLACEHOLDER)})`];
  const given = Object.entries(body ?? {});
  // Fields that the client does not know go beside.
  const extra = given.filter(([name]) => EXTRA_FIELDS.has(name));
  const known = given.filter(([name]) => !EXTRA_FIELDS.has(name)).map(([name, value]) => `    ${name}=${python(value, 1)},`);
  if (extra.length > 0) known.push(`    extra_body=${python(Object.fromEntries(extra), 1)},`);
  return [...lines, known.length === 0 ? `answer = client.${call}()` : `answer = client.${call}(\n${known.join("\n")}\n)`, ...last].join("\n");
}

const EXTRA_FIELDS = new Set(["top_k", "min_p", "repetition_penalty"]);

function clientInScript({ base, key, call, body, last }) {
  const lines = ['import OpenAI from "openai";', "", `const client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: ${JSON.stringify(key ?? KEY_PLACEHOLDER)} });`];
  return [...lines, `const answer = await client.${call}(${body === null ? "" : script(body)});`, ...last].join("\n");
}

function plainPython({ address, method, key, body, isForm }) {
  const lines = ["import requests", "", "answer = requests.request(", `    ${python(method)},`, `    ${python(address)},`, `    headers={"Authorization": ${python(`Bearer ${key ?? KEY_PLACEHOLDER}`)}},`];
  if (body !== null && isForm) {
    const isFile = ([, value]) => String(value).startsWith("@");
    const [files, words] = [Object.entries(body).filter(isFile), Object.entries(body).filter((field) => !isFile(field))];
    if (files.length > 0) lines.push(`    files={${files.map(([name, value]) => `${python(name)}: open(${python(value.slice(1))}, "rb")`).join(", ")}},`);
    if (words.length > 0) lines.push(`    data=${python(Object.fromEntries(words), 1)},`);
  } else if (body !== null) lines.push(`    json=${python(body, 1)},`);
  return [...lines, ")", "print(answer.text)"].join("\n");
}

function plainScript({ address, method, key, body, isForm }) {
  const before = [];
  const options = [`  method: ${JSON.stringify(method)},`];
  const headers = [`Authorization: ${JSON.stringify(`Bearer ${key ?? KEY_PLACEHOLDER}`)}`];
  if (body !== null && isForm) {
    before.push('import { openAsBlob } from "node:fs";', "", "const form = new FormData();");
    for (const [name, value] of Object.entries(body)) {
      const isFile = String(value).startsWith("@");
      before.push(`form.append(${JSON.stringify(name)}, ${isFile ? `await openAsBlob(${JSON.stringify(value.slice(1))}), ${JSON.stringify(value.slice(1))}` : JSON.stringify(value)});`);
    }
    options.push("  body: form,");
  } else if (body !== null) {
    headers.push('"Content-Type": "application/json"');
    options.push(`  body: JSON.stringify(${script(body, 1)}),`);
  }
  options.push(`  headers: { ${headers.join(", ")} },`);
  return [...before, `const answer = await fetch(${JSON.stringify(address)}, {`, ...options, "});", "console.log(await answer.text());"].join("\n");
}

/** A JSON value as JavaScript is written: names without quotes where they need none. */
function script(value, depth = 0) {
  const text = JSON.stringify(value, null, 2).replace(/^(\s*)"([A-Za-z_]\w*)":/gm, "$1$2:");
  return text.replaceAll("\n", `\n${"  ".repeat(depth)}`);
}

/** A JSON value as Python is written. */
export function python(value, depth = 0) {
  const inner = "    ".repeat(depth + 1);
  const outer = "    ".repeat(depth);
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const isList = Array.isArray(value);
  const parts = isList ? value.map((item) => python(item, depth + 1)) : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, depth + 1)}`);
  const [open, close] = isList ? ["[", "]"] : ["{", "}"];
  if (parts.length === 0) return open + close;
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length < 60 && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${outer}${close}`;
}
