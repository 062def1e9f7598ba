// What the pages do, against a stand-in: what they send, and how they are used by keyboard.

import assert from "node:assert/strict";
import { watchedPage } from "./browser.mjs";
import { standIn } from "./stand-in.mjs";

/** One black point. */
const DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";

const PARTS = { everyFieldOfAKey, onlyChanges, keysOnlyOnce, wrongFields, keyboardOnly, telephoneMenu, themesAndLanguages, copyingWithoutTheClipboard, chatWithATool, picturesAndSound, stopping, referenceCalls, testedUpstreams, endOfASession, signingOut };

export async function checkParts(browser, root) {
  for (const [name, part] of Object.entries(PARTS)) {
    const server = await standIn(root);
    const page = await watchedPage(browser, { origin: server.origin, viewport: { width: 1280, height: 860 }, reducedMotion: "reduce" });
    page.setDefaultTimeout(5000);
    const open = (path) => page.goto(`${server.origin}/console/${path}`);
    try {
      await part(page, open, server);
    } catch (error) {
      throw new Error(`${name}: ${error.message}`, { cause: error });
    }
    console.log(`${name} passed`);
    await page.context().close();
    server.close();
  }
}

const named = (page, name) => page.locator(`[data-name="${name}"]`);

/** The body of the next request to `path`. */
async function sent(page, method, path, action) {
  const isIt = (request) => request.method() === method && new URL(request.url()).pathname === path;
  const [request] = await Promise.all([page.waitForRequest(isIt), action()]);
  return request.postDataJSON();
}

async function everyFieldOfAKey(page, open) {
  await open("keys");
  await page.locator('.page-actions [data-name="add-key"]').click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("Everything");
  await dialog.getByLabel("Expires").selectOption("30");
  await dialog.getByLabel("Money: only my balance").uncheck();
  await dialog.getByLabel("May spend (USD)").fill("2.5");
  await dialog.getByLabel("Tokens: no limit").uncheck();
  await dialog.getByLabel("May use (tokens)").fill("100000");
  await dialog.getByText("Models, networks and rates").click();
  await dialog.getByLabel("All models").uncheck();
  await dialog.getByRole("group", { name: "Models it may use" }).getByLabel("phi-4-mini", { exact: true }).check();
  await dialog.getByLabel("Audio").uncheck();
  await dialog.getByLabel("Adapters").fill("legal, support");
  await dialog.getByLabel("Networks it may be used from").fill("203.0.113.0/24\n2001:db8::1");
  await dialog.getByLabel("Requests a minute").fill("60");
  await dialog.getByLabel("Tokens a minute").fill("90000");
  await dialog.getByLabel("Requests at a time").fill("2");
  const body = await sent(page, "POST", "/api/token/", () => dialog.locator('[data-name="submit"]').click());
  const inDays = (body.expired_time - Date.now() / 1000) / 86_400;
  assert.ok(inDays > 29.9 && inDays <= 30, `it ends in ${inDays} days`);
  delete body.expired_time;
  assert.deepEqual(body, {
    name: "Everything",
    unlimited_quota: false,
    remain_quota: 2_500_000,
    unlimited_tokens: false,
    remain_tokens: 100_000,
    model_limits_enabled: true,
    model_limits: "phi-4-mini",
    adapters: "legal,support",
    modalities: "text,image",
    allow_ips: "203.0.113.0/24\n2001:db8::1",
    requests_per_minute: 60,
    tokens_per_minute: 90_000,
    parallel_requests: 2,
  });
  page.assertClean("adding a key");
}

/** What is left to spend falls while the form is open: it must not be written back. */
async function onlyChanges(page, open) {
  await open("keys");
  await page.locator('tr[data-row="Nightly summaries"] [data-name="edit"]').click();
  await page.getByLabel("Requests a minute").fill("30");
  const body = await sent(page, "PUT", "/api/token/", () => named(page, "submit").click());
  assert.deepEqual(body, { id: 2, requests_per_minute: 30 });
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.locator('tr[data-row="Old prototype"] [data-name="edit"]').click();
  await page.getByLabel("Name", { exact: true }).fill("Older prototype");
  assert.deepEqual(await sent(page, "PUT", "/api/token/", () => named(page, "submit").click()), { id: 4, name: "Older prototype" });
  page.assertClean("editing a key");
}

/** A key is copied as it is, stays on screen until it is said to be safe, and nowhere after. */
async function keysOnlyOnce(page, open) {
  await open("keys");
  await page.locator('.page-actions [data-name="add-key"]').click();
  await page.getByLabel("Name", { exact: true }).fill("Once");
  await named(page, "submit").click();
  const shown = await page.getByLabel("Key", { exact: true }).inputValue();
  await named(page, "copy-key").click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), shown);
  await page.keyboard.press("Escape");
  assert.ok(await page.getByRole("dialog").isVisible(), "Escape does not close what is shown once");
  await named(page, "done").click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(!(await page.content()).includes(shown), "the key is still in the page");
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.ok(!kept.includes(shown), "the key is kept in the browser");
}

async function wrongFields(page, open) {
  await open("keys");
  await page.locator('.page-actions [data-name="add-key"]').click();
  await named(page, "submit").click();
  const name = page.getByLabel("Name", { exact: true });
  assert.equal(await name.getAttribute("aria-invalid"), "true");
  assert.ok(await name.evaluate((element) => element === document.activeElement), "the first wrong field has the focus");
  await name.fill("Wrong network");
  await page.getByText("Models, networks and rates").click();
  await page.getByLabel("Networks it may be used from").fill("203.0.113.0/24\nhome");
  await named(page, "submit").click();
  await page.getByText("“home” is no address or network").waitFor();
  page.assertClean("wrong fields");
}

/** From the skip link to a dialog and back, without a pointer. */
async function keyboardOnly(page, open) {
  await open("keys");
  await page.locator("tbody tr").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.name), "name", "the dialog begins at its first field");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.dataset.name), "add-key", "the focus is back where it was");
  await page.getByRole("link", { name: "Usage" }).first().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Usage" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1", "a new page begins at its heading");
  await page.locator(".chart-plot").focus();
  const before = await page.locator(".chart-day").textContent();
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await page.locator(".chart-day").textContent(), before, "arrow keys read the chart");
  await page.getByText("As a table").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "By day" }).waitFor();
  page.assertClean("by keyboard");
}

async function telephoneMenu(page, open) {
  await page.setViewportSize({ width: 360, height: 740 });
  await open("");
  const menu = page.getByRole("button", { name: "Menu" });
  assert.ok(!(await page.getByRole("navigation", { name: "Main" }).isVisible()));
  await menu.click();
  await page.getByRole("link", { name: "API keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("navigation", { name: "Main" }).waitFor({ state: "hidden" });
  assert.equal(await menu.getAttribute("aria-expanded"), "false");
  await menu.click();
  await page.getByRole("link", { name: "API keys" }).click();
  await page.getByRole("heading", { level: 1, name: "API keys" }).waitFor();
  page.assertClean("the telephone's menu");
}

async function themesAndLanguages(page, open) {
  await open("usage");
  const theme = () => page.evaluate(() => [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor, getComputedStyle(document.documentElement).colorScheme]);
  await named(page, "theme").click();
  assert.equal((await theme())[2], "light");
  await named(page, "theme").click();
  assert.deepEqual([(await theme())[0], (await theme())[2]], ["dark", "dark"]);
  await page.reload();
  assert.equal((await theme())[0], "dark", "the theme is kept");
  await page.locator("select.language").first().selectOption("ru");
  await page.getByRole("heading", { level: 1, name: "Использование" }).waitFor();
  await page.locator("select.language").first().selectOption("zh");
  await page.getByRole("heading", { level: 1, name: "用量" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "用量" }).waitFor();
  page.assertClean("themes and languages");
}

async function chatWithATool(page, open) {
  await open("playground");
  await page.getByText("Tools", { exact: true }).click();
  await page.getByLabel("Tools as JSON").waitFor({ state: "hidden" });
  await page.getByLabel("Offer tools").check();
  await page.getByLabel("Tools as JSON").fill("{");
  await page.getByText(/Not valid JSON/).waitFor();
  await page.getByLabel("Tools as JSON").fill('[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}]');
  await page.getByLabel("Temperature").fill("0");
  await page.getByLabel("System prompt").fill("Be brief.");
  await page.getByText("Response format", { exact: true }).click();
  await page.getByLabel("Form of the answer").selectOption("json_schema");
  await page.getByRole("textbox", { name: "Message" }).fill("How warm is it in Paris?");
  const first = await sent(page, "POST", "/api/playground/chat/completions", () => page.keyboard.press("Enter"));
  assert.deepEqual(first.messages, [{ role: "system", content: "Be brief." }, { role: "user", content: "How warm is it in Paris?" }]);
  assert.equal(first.temperature, 0);
  assert.equal(first.tools[0].function.name, "get_weather");
  assert.equal(first.response_format.json_schema.strict, true);
  await page.locator(".call", { hasText: '"city": "Paris"' }).waitFor();
  await page.getByLabel("Result of get_weather").fill('{"celsius": 21}');
  const second = await sent(page, "POST", "/api/playground/chat/completions", () => named(page, "send-results").click());
  assert.deepEqual(second.messages.slice(2), [
    { role: "assistant", content: null, tool_calls: [{ id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city": "Paris", "unit": "celsius"}' } }] },
    { role: "tool", tool_call_id: "call_1", content: '{"celsius": 21}' },
  ]);
  await page.locator(".turn.assistant footer", { hasText: "61 tokens written" }).last().waitFor();
  await page.locator(".turn.assistant .code-block", { hasText: "def fall" }).waitFor();
  await named(page, "show-code").click();
  for (const [tab, words] of [["curl", "/v1/chat/completions' \\"], ["Python", "client.chat.completions.create("], ["JavaScript", "await client.chat.completions.create({"]]) {
    await page.getByRole("tab", { name: tab }).click();
    await page.getByRole("tabpanel").getByText(words).waitFor();
  }
  page.assertClean("a chat with a tool");
}

/** Where the page is not from a secure origin, browsers have no clipboard for it. */
async function copyingWithoutTheClipboard(page, open) {
  await page.addInitScript(() => Object.defineProperty(window, "isSecureContext", { value: false }));
  await open("keys");
  await page.evaluate(() => navigator.clipboard.writeText("before"));
  await page.locator(".card .copyable button").click();
  await page.locator(".copy [role=status]", { hasText: "Copied" }).waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^http:.*\/v1$/);
  page.assertClean("copying without the clipboard");
}

async function picturesAndSound(page, open) {
  await open("playground");
  const image = { name: "dot.png", mimeType: "image/png", buffer: Buffer.from(DOT, "base64") };
  await page.locator('.adders input[accept*="image"]').setInputFiles(image);
  await page.locator('.adders input[accept*="audio"]').setInputFiles({ name: "beep.wav", mimeType: "audio/wav", buffer: Buffer.from("RIFF") });
  await page.locator(".attached-file", { hasText: "beep.wav" }).waitFor();
  await page.getByRole("textbox", { name: "Message" }).fill("What is it?");
  const { messages } = await sent(page, "POST", "/api/playground/chat/completions", () => page.keyboard.press("Enter"));
  assert.deepEqual(messages, [
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url: `data:image/png;base64,${DOT}` } },
        { type: "input_audio", input_audio: { data: Buffer.from("RIFF").toString("base64"), format: "wav" } },
        { type: "text", text: "What is it?" },
      ],
    },
  ]);
  assert.ok(await page.locator(".turn.user img").evaluate((picture) => picture.decode().then(() => picture.naturalWidth === 1)));
  await page.getByLabel("Model", { exact: true }).selectOption("qwen3-32b");
  assert.equal(await page.locator(".adders input").count(), 0, "only what the model reads is offered");
  page.assertClean("pictures and sound");
}

async function stopping(page, open) {
  await open("playground");
  await page.getByRole("textbox", { name: "Message" }).fill("Go on");
  await page.keyboard.press("Enter");
  await page.locator(".turn.assistant .prose").waitFor();
  await named(page, "stop").click();
  await page.locator(".turn.assistant").getByText("Stopped").waitFor();
  await page.getByRole("textbox", { name: "Message" }).waitFor();
  page.assertClean("stopping");
}

async function referenceCalls(page, open) {
  await open("reference/listModels");
  await page.getByRole("heading", { name: "Which models there are" }).waitFor();
  await page.getByLabel("Your key").fill("sk-wrong");
  await named(page, "send-request").click();
  await page.locator(".answer", { hasText: "invalid_api_key" }).waitFor();
  await page.getByRole("tabpanel").getByText("Bearer sk-wrong").waitFor();
  await page.getByRole("link", { name: "Answer a chat" }).click();
  await page.getByText("ChatMessage[]").click();
  await page.getByText("3 of 3").first().waitFor();
  assert.equal(await page.getByLabel("Your key").inputValue(), "sk-wrong", "the key goes along");
  const operations = await page.locator(".contents a").count();
  assert.ok(operations > 20, `${operations} calls`);
  for (let index = 0; index < operations; index += 1) {
    await page.locator(".contents a").nth(index).click();
    await page.locator(".code-block").first().waitFor();
  }
  page.assertClean("the reference", [/status of 401 .*\/v1\//]);
}

/** A test that was made may have found that the server is down. */
async function testedUpstreams(page, open) {
  await open("admin/upstreams");
  await page.locator('tr[data-row="Ray cluster"] [data-name="test"]').click();
  await page.getByText("“Ray cluster” does not answer: connection refused").waitFor();
  await page.locator('tr[data-row="local"] [data-name="test"]').click();
  await page.getByText("“local” answers in 3 ms").waitFor();
  page.assertClean("testing upstreams");
}

/** The server forgets the session: the page says so by asking to sign in, and knows the way back. */
async function endOfASession(page, open) {
  await open("");
  await page.waitForLoadState("networkidle");
  await page.evaluate(() => fetch("/api/user/logout", { method: "POST" }));
  await page.getByRole("link", { name: "Usage" }).first().click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.ok(page.url().endsWith("/console/sign-in?next=%2Fusage"));
  page.assertClean("the end of a session", [/status of 401/]);
}

async function signingOut(page, open) {
  await open("");
  await named(page, "sign-out").click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.ok(page.url().endsWith("/console/sign-in"));
  await open("keys");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.ok(page.url().endsWith("/console/sign-in?next=%2Fkeys"));
  page.assertClean("signing out", [/status of 401 .*\/api\/user\/self/]);
}
