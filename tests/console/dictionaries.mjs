// The dictionaries have the same entries, with the same values in them, and every entry is used.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const LANGUAGES = ["en", "ru", "zh"];

/** Entries that the pages name by a part that is known only while they run: prefix and parts. */
const COMPOSED = {
  "capability.": ["adapters", "audio", "embeddings", "image", "json", "text", "tools"],
  "finish.": ["aborted", "error", "late", "lost", "stop"],
  "group.": ["audio", "batches", "chat", "completions", "embeddings", "files", "messages", "models", "responses", "server", "tokens"],
  "modality.": ["audio", "image", "text"],
  "options.sign_up_": ["invitation", "off", "open"],
  "playground.choice_": ["auto", "none", "required"],
  "playground.end_": ["length", "stopped"],
  "playground.fix_": ["schema", "tools"],
  "playground.format_": ["json_object", "json_schema", "text"],
  "playground.shape_": ["schema", "tools"],
  "theme.": ["dark", "light", "system"],
  "upstreams.": ["down", "open", "up"],
  "usage.chart_": ["cost", "requests", "tokens"],
  "usage.measure_": ["cost", "requests", "tokens"],
};

async function sources(folder) {
  const entries = await readdir(folder, { recursive: true });
  const scripts = entries.filter((name) => extname(name) === ".js" && !name.startsWith("locales"));
  return Promise.all(scripts.map((name) => readFile(join(folder, name), "utf8")));
}

/** The forms of an entry: one, or those of its plural. */
function forms(entry) {
  return typeof entry === "string" ? [entry] : Object.values(entry);
}

function placeholders(text) {
  return [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
}

export async function checkDictionaries(root) {
  const folder = join(root, "crates/gateway/console");
  const load = (name) => import(pathToFileURL(join(folder, "locales", `${name}.js`)));
  const [english, ...others] = await Promise.all(LANGUAGES.map(async (name) => (await load(name)).default));
  const keys = Object.keys(english);
  others.forEach((dictionary, index) => checkTranslation(LANGUAGES[index + 1], dictionary, english));
  const text = (await sources(folder)).join("\n");
  const used = new Set([...text.matchAll(/"([a-z]+\.[a-z0-9_]+)"/g)].map(([, key]) => key));
  for (const [prefix, parts] of Object.entries(COMPOSED)) {
    assert.ok(text.includes(`\`${prefix}\${`), `nothing is composed with ${prefix}`);
    parts.forEach((part) => used.add(prefix + part));
  }
  assert.deepEqual(keys.filter((key) => !used.has(key)), [], "entries that nothing uses");
  const direct = [...text.matchAll(/\bt\("([a-z]+\.[a-z0-9_]+)"/g)].map(([, key]) => key);
  const composed = Object.entries(COMPOSED).flatMap(([prefix, parts]) => parts.map((part) => prefix + part));
  assert.deepEqual([...direct, ...composed].filter((key) => !(key in english)), [], "keys without words");
  return keys.length;
}

function checkTranslation(name, dictionary, english) {
  assert.deepEqual(Object.keys(dictionary), Object.keys(english), `${name} has the entries of en, in their order`);
  for (const [key, entry] of Object.entries(dictionary)) {
    const expected = placeholders(forms(english[key]).join(" "));
    for (const form of forms(entry)) {
      assert.ok(form.trim() !== "", `${name}: ${key} is empty`);
      assert.deepEqual(placeholders(form).filter((part) => !expected.includes(part)), [], `${name}: ${key} has values of its own`);
    }
    assert.deepEqual(placeholders(forms(entry).join(" ")), expected, `${name}: ${key} lacks values`);
    if (typeof english[key] === "object") checkPlural(name, key, entry);
  }
}

/** Every form that the language has must be there, or `other` stands for all. */
function checkPlural(name, key, entry) {
  assert.equal(typeof entry, "object", `${name}: ${key} has no plural`);
  const rules = new Intl.PluralRules(name);
  const needed = new Set(Array.from({ length: 120 }, (_, count) => rules.select(count)));
  assert.deepEqual([...needed].filter((form) => !(form in entry)), [], `${name}: ${key} lacks forms`);
}
