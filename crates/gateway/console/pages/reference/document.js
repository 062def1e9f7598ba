// The server's own description, as the reference reads it.

/** Groups of addresses, in the order of what readers look for. */
const GROUPS = [
  ["chat", /^\/v1\/chat\//],
  ["responses", /^\/v1\/responses/],
  ["messages", /^\/v1\/messages/],
  ["completions", /^\/v1\/completions/],
  ["embeddings", /^\/v1\/embeddings/],
  ["audio", /^\/v1\/audio/],
  ["models", /^\/v1\/models/],
  ["files", /^\/v1\/files/],
  ["batches", /^\/v1\/batches/],
  ["tokens", /^\/(tokenize|detokenize|apply-template)/],
  ["server", /./],
];

const METHODS = ["get", "post", "put", "patch", "delete"];

/** Every operation: `{id, method, path, summary, description, parameters, body, isForm, responses}`. */
export function operations(document) {
  const found = [];
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of METHODS.filter((name) => name in item)) found.push(operation(document, path, method, item));
  }
  return found;
}

function operation(document, path, method, item) {
  const entry = item[method];
  const content = entry.requestBody?.content ?? {};
  const [type] = Object.keys(content);
  const parameters = [...(item.parameters ?? []), ...(entry.parameters ?? [])].map((parameter) => resolve(document, parameter));
  const named = new Set(parameters.map(({ name }) => name));
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).filter((name) => !named.has(name));
  return {
    id: entry.operationId ?? `${method} ${path}`,
    method: method.toUpperCase(),
    path,
    summary: entry.summary ?? path,
    description: entry.description ?? null,
    parameters: [...inPath.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } })), ...parameters],
    body: type ? content[type].schema : null,
    isForm: type === "multipart/form-data",
    responses: Object.entries(entry.responses ?? {}).map(([status, response]) => responseOf(document, status, response)),
  };
}

function responseOf(document, status, response) {
  const { description, content = {} } = resolve(document, response);
  return { status, description, types: Object.keys(content), schema: content["application/json"]?.schema ?? null };
}

/** Operations by group: `[[name, operations], …]`, without empty ones. */
export function grouped(list) {
  const groups = new Map(GROUPS.map(([name]) => [name, []]));
  for (const entry of list) groups.get(GROUPS.find(([, pattern]) => pattern.test(entry.path))[0]).push(entry);
  return [...groups].filter(([, entries]) => entries.length > 0);
}

/** What `$ref` points to, or the value itself. */
export function resolve(document, value) {
  if (!value?.$ref) return value;
  const path = value.$ref.replace(/^#\//, "").split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  return path.reduce((inside, part) => inside?.[part], document) ?? {};
}

/** A type in a few words: `string | null`, `ChatMessage[]`, `"auto" | "none"`. */
export function typeName(document, schema, depth = 0) {
  if (!schema || schema === true || Object.keys(schema).length === 0) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return depth > 1 ? "…" : [...new Set(choices.map((choice) => typeName(document, choice, depth + 1)))].join(" | ");
  const types = [schema.type].flat();
  return types.map((type) => (type === "array" ? `${wrapped(typeName(document, schema.items, depth + 1))}[]` : (type ?? "any"))).join(" | ");
}

function wrapped(name) {
  return name.includes(" | ") ? `(${name})` : name;
}

/** A body to begin with: what is required, with the model's name and a friendly message. */
export function exampleBody(document, { id, body, isForm }, model) {
  const known = KNOWN[id]?.(model);
  if (known) return known;
  const schema = resolve(document, body);
  return isForm ? null : (schema?.examples?.[0] ?? schema?.example ?? exampleOf(document, schema, model, 0));
}

const HELLO = "Say hello in one short sentence.";

/** Where the schema alone would make a poor example. */
const KNOWN = {
  createChatCompletion: (model) => ({ model, messages: [{ role: "user", content: HELLO }], max_tokens: 64 }),
  createCompletion: (model) => ({ model, prompt: "Once upon a time", max_tokens: 32 }),
  createEmbedding: (model) => ({ model, input: "A short text" }),
  createResponse: (model) => ({ model, input: HELLO, max_output_tokens: 64 }),
  createMessage: (model) => ({ model, max_tokens: 64, messages: [{ role: "user", content: HELLO }] }),
  countTokens: (model) => ({ model, messages: [{ role: "user", content: HELLO }] }),
  tokenize: (model) => ({ model, prompt: "A short text" }),
  detokenize: (model) => ({ model, tokens: [9906, 11, 1917] }),
  applyTemplate: (model) => ({ model, messages: [{ role: "user", content: HELLO }] }),
};

const DEPTH_MAX = 4;

function exampleOf(document, unresolved, model, depth) {
  const schema = resolve(document, unresolved) ?? {};
  if ("const" in schema) return schema.const;
  if ("default" in schema) return schema.default;
  if (schema.enum) return schema.enum[0];
  const choice = (schema.anyOf ?? schema.oneOf)?.[0];
  if (choice) return exampleOf(document, choice, model, depth);
  const type = [schema.type].flat()[0];
  if (type === "array") return depth < DEPTH_MAX && schema.minItems > 0 ? [exampleOf(document, schema.items, model, depth + 1)] : [];
  if (type === "object") {
    const names = depth < DEPTH_MAX ? (schema.required ?? []) : [];
    return Object.fromEntries(names.map((name) => [name, name === "model" ? model : exampleOf(document, schema.properties?.[name], model, depth + 1)]));
  }
  return { string: "", integer: schema.minimum ?? 0, number: schema.minimum ?? 0, boolean: false }[type] ?? null;
}
