// The whole way of somebody new, against a real server: from the setup link to a key that is refused.

import assert from "node:assert/strict";
import { join } from "node:path";
import OpenAI, { AuthenticationError } from "openai";
import { watchedPage } from "./browser.mjs";

const PASSWORD = "correct horse battery";
const MONEY_UNITS = 1_000_000;

/** Prices in the currency per million tokens. */
const PRICES = { input: 100, cached_input: 25, output: 400 };

/** Before signing in, the page asks who is signed in, and the browser notes the answer. */
const SIGNED_OUT = [/status of 401 .*\/api\/user\/self/];

/** A server of its own engine only has no channels. */
const WITHOUT_CHANNELS = [/status of 404 .*\/api\/channel\//];

/** From a server's link to an answer by a key, the way of somebody who knows where to click. */
const FIRST_ANSWER_SECONDS_MAX = 120;

export async function wholeWay(browser, link, shots) {
  const begun = performance.now();
  const { origin } = new URL(link);
  const options = { origin, viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" };
  const administrator = await watchedPage(browser, options);
  await setUp(administrator, link);
  const page = await watchedPage(browser, options);
  await signUp(page, origin);
  const { key, base } = await addKey(page);
  const usage = await callApi(base, key);
  const seconds = (performance.now() - begun) / 1000;
  assert.ok(seconds < FIRST_ANSWER_SECONDS_MAX, `the first answer took ${seconds} s`);
  console.log(`the first answer after ${seconds.toFixed(1)} s`);
  await seeCost(page, usage);
  await tryReference(page, key);
  await useTool(page);
  if (shots !== null) await page.screenshot({ path: join(shots, "server-playground.png") });
  await seeModels(page);
  await disableKey(page, base, key);
  await deleteKey(page);
  await seeAudit(administrator);
  page.assertClean("the whole way", SIGNED_OUT);
  administrator.assertClean("the administrator's way", [...SIGNED_OUT, ...WITHOUT_CHANNELS]);
  console.log("the whole way passed");
}

const named = (page, name) => page.locator(`[data-name="${name}"]`);
const goTo = async (page, name) => {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { level: 1 }).waitFor();
};

async function fillCredentials(page, name) {
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Repeat the password").fill(PASSWORD);
  await named(page, "submit").click();
}

/** The first administrator opens the doors and sets prices. */
async function setUp(page, link) {
  await page.goto(link);
  await fillCredentials(page, "root-of-it");
  await page.getByRole("heading", { name: "Hello" }).waitFor();
  await goTo(page, "Settings");
  await page.getByLabel("Signing up").selectOption("open");
  await page.getByLabel("A new user's balance").fill("5");
  await page.getByRole("form", { name: "Accounts" }).locator('[data-name="submit"]').click();
  await page.getByText("Saved").waitFor();
  await page.getByRole("button", { name: "Add prices" }).click();
  await page.getByLabel("Model", { exact: true }).fill("*");
  await page.getByLabel("Input", { exact: true }).fill(String(PRICES.input));
  await page.getByLabel("Cached input").fill(String(PRICES.cached_input));
  await page.getByLabel("Output").fill(String(PRICES.output));
  await page.getByRole("form", { name: "Prices" }).locator('[data-name="submit"]').click();
  await page.getByText("Saved").nth(1).waitFor();
  console.log("set up");
}

async function signUp(page, origin) {
  await page.goto(origin);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.getByRole("link", { name: "Sign up" }).click();
  await fillCredentials(page, "amelia");
  await page.getByRole("heading", { name: "Hello, amelia" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "Users" }).count(), 0, "a user sees no administration");
  console.log("signed up");
}

async function addKey(page) {
  await goTo(page, "API keys");
  await page.locator('.page-actions [data-name="add-key"]').click();
  await page.getByLabel("Name", { exact: true }).fill("My program");
  await named(page, "submit").click();
  await named(page, "copy-key").click();
  const key = await page.evaluate(() => navigator.clipboard.readText());
  const base = await page.getByLabel("Base URL").inputValue();
  assert.match(key, /^sk-/);
  await named(page, "done").click();
  await page.locator('tr[data-row="My program"]').waitFor();
  console.log("added a key");
  return { key, base };
}

async function callApi(baseURL, apiKey) {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const [model] = (await client.models.list()).data;
  const request = { model: model.id, temperature: 0, max_tokens: 24, messages: [{ role: "user", content: "What is the capital of France?" }] };
  const { usage, choices } = await client.chat.completions.create(request);
  assert.ok(choices[0].message.content.length > 0);
  assert.ok(usage.completion_tokens > 0);
  console.log(`called the API: ${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
  return usage;
}

/** What a call costs, in the ledger's units, rounded up. */
function cost({ prompt_tokens: prompt, completion_tokens: made, prompt_tokens_details: details }) {
  const cached = details?.cached_tokens ?? 0;
  return Math.ceil((prompt - cached) * PRICES.input + cached * PRICES.cached_input + made * PRICES.output);
}

async function seeCost(page, usage) {
  await goTo(page, "Usage");
  const row = page.getByRole("table", { name: "Calls" }).getByRole("row", { name: /chat\/completions/ }).first();
  await row.waitFor();
  const text = await row.innerText();
  const money = new Intl.NumberFormat("en", { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", maximumFractionDigits: 6 }).format(cost(usage) / MONEY_UNITS);
  for (const part of ["My program", String(usage.prompt_tokens), String(usage.completion_tokens), money]) assert.ok(text.includes(part), `the row has no ${part}: ${text}`);
  await page.getByRole("table", { name: "By key" }).getByText("My program").waitFor();
  await goTo(page, "Overview");
  await page.getByRole("table", { name: "Latest calls" }).getByText("My program").first().waitFor();
  console.log(`saw the call and its cost, ${money}`);
}

/** The key of this tab is in the form already. */
async function tryReference(page, key) {
  await goTo(page, "API reference");
  await page.getByRole("link", { name: "Which models there are" }).click();
  assert.equal(await page.getByLabel("Your key").inputValue(), key);
  await named(page, "send-request").click();
  await page.locator(".answer .badge.good", { hasText: "200" }).waitFor();
  console.log("tried the reference");
}

async function useTool(page) {
  await goTo(page, "Playground");
  await page.getByText("Tools", { exact: true }).click();
  await page.getByLabel("Offer tools").check();
  await page.getByLabel("Calls").selectOption("required");
  await page.getByLabel("Temperature").fill("0");
  await page.getByRole("textbox", { name: "Message" }).fill("How warm is it in Paris?");
  await page.keyboard.press("Enter");
  await page.locator(".call", { hasText: "get_weather" }).first().waitFor();
  // A small model may call several times.
  const results = page.getByLabel("Result of get_weather");
  await results.first().waitFor();
  await page.getByLabel("Calls").selectOption("none");
  await page.getByLabel("Most tokens").fill("32");
  for (const result of await results.all()) await result.fill('{"celsius": 21}');
  await named(page, "send-results").click();
  await page.locator(".turn.assistant .prose").waitFor();
  await page.locator(".turn.assistant footer", { hasText: "written" }).nth(1).waitFor();
  assert.equal(await page.locator(".turn-error").count(), 0);
  console.log("used a tool in the playground");
}

async function seeModels(page) {
  await goTo(page, "Models");
  await page.locator("main .card").first().waitFor();
  assert.equal(await page.locator(".state.failed").count(), 0);
}

async function disableKey(page, baseURL, apiKey) {
  await goTo(page, "API keys");
  const row = page.locator('tr[data-row="My program"]');
  await row.locator('[data-name="disable"]').click();
  await row.getByText("Disabled").waitFor();
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  await assert.rejects(client.models.list(), (error) => error instanceof AuthenticationError && error.status === 401);
  await row.locator('[data-name="enable"]').click();
  await row.getByText("Enabled").waitFor();
  assert.ok((await client.models.list()).data.length > 0, "enabled again");
  console.log("disabled the key: 401");
}

async function deleteKey(page) {
  await page.locator('tr[data-row="My program"] [data-name="delete"]').click();
  await named(page, "confirm").click();
  await page.locator('tr[data-row="My program"]').waitFor({ state: "detached" });
}

async function seeAudit(page) {
  await goTo(page, "Audit log");
  await page.getByRole("table", { name: "Audit log" }).getByText("amelia").first().waitFor();
  for (const name of ["Users", "Invitations", "Upstreams"]) {
    await goTo(page, name);
    await page.locator("main .card").first().waitFor();
    await page.waitForFunction(() => !document.querySelector(".skeleton"));
    assert.equal(await page.locator(".state.failed").count(), 0, `${name} fails`);
  }
  console.log("administered");
}
