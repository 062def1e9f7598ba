// Every page, in both themes, three languages and at a telephone's width, full, empty and failing:
// nothing from elsewhere, nothing against the policy, nothing wider than the window, and no finding
// of axe.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { overflow, watchedPage } from "./browser.mjs";
import { standIn } from "./stand-in.mjs";

const PAGES = ["", "keys", "usage", "playground", "models", "reference", "account", "admin/users", "admin/invitations", "admin/upstreams", "admin/options", "admin/audit"];
const WITHOUT_DATA = ["account", "playground", "reference"];
const ENTRANCES = ["sign-in", "sign-up"];
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const DESK = { viewport: { width: 1280, height: 860 } };

const VIEWS = [
  { name: "light", language: "en", colorScheme: "light", ...DESK },
  { name: "dark", language: "en", colorScheme: "dark", ...DESK },
  { name: "phone", language: "en", colorScheme: "light", ...PHONE },
  { name: "phone-dark", language: "ru", colorScheme: "dark", ...PHONE },
  { name: "light-zh", language: "zh", colorScheme: "light", ...DESK },
];

/** The browser notes every answer of 400 and above; those that a mode is made of are no fault. */
const NOTES = { failing: [/status of 503/], full: [], empty: [], entrance: [/status of 401 .*\/api\/user\/self/] };

const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Walks all pages in all views; screenshots go to `shots`, unless that is `null`. */
export async function checkPages(browser, root, shots) {
  const axe = await readFile(axePath, "utf8");
  const how = { axe, shots, problems: [] };
  let count = 0;
  for (const mode of ["full", "empty", "failing"]) {
    const server = await standIn(root, { mode });
    const views = mode === "full" ? VIEWS : VIEWS.slice(0, 3);
    for (const view of views) count += await walk(browser, server, PAGES, view, mode, how);
    if (mode === "full") for (const view of VIEWS) count += await walkOpened(browser, server, view, how);
    server.close();
  }
  const outside = await standIn(root, { isSignedIn: false });
  for (const view of VIEWS) count += await walk(browser, outside, ENTRANCES, view, "entrance", how);
  outside.close();
  const fresh = await standIn(root, { isSignedIn: false, isNew: true });
  for (const view of VIEWS) count += await walk(browser, fresh, ["setup#secret"], view, "entrance", how);
  fresh.close();
  assert.deepEqual(how.problems, []);
  return count;
}

/** What opens on a page when it is used. */
const OPENED = {
  "keys-form": async (page, open) => {
    await open("keys");
    await page.locator('[data-name="add-key"]').first().click();
    await page.locator("dialog details").last().evaluate((fold) => (fold.open = true));
    await page.locator('dialog [name="all_models"]').uncheck();
  },
  "keys-once": async (page, open) => {
    await open("keys");
    await page.locator('[data-name="add-key"]').first().click();
    await page.locator('dialog [name="name"]').fill("Support desk");
    await page.locator('dialog [data-name="submit"]').click();
    await page.locator('[data-name="copy-key"]').click();
  },
  "keys-delete": async (page, open) => {
    await open("keys");
    await page.locator('[data-name="delete"]').first().click();
  },
  "usage-call": async (page, open) => {
    await open("usage");
    await page.locator("#log td.actions button").first().click();
  },
  "playground-chat": async (page, open) => {
    await open("playground");
    for (const text of ["What is gravity?", "How warm is it in Paris?"]) {
      await page.locator('[name="message"]').fill(text);
      await page.locator('[data-name="send"]').click();
      await page.locator('[data-name="again"]').waitFor();
      await page.locator('[name="has_tools"]').evaluate((field) => field.checked || field.click());
    }
    await page.locator(".results").waitFor();
  },
  "playground-code": async (page, open) => {
    await open("playground");
    await page.locator('[data-name="show-code"]').click();
  },
  "upstreams-form": async (page, open) => {
    await open("admin/upstreams");
    await page.locator('[data-name="edit"]').first().click();
  },
};

async function walkOpened(browser, { origin }, { name, language, ...options }, how) {
  const page = await watchedPage(browser, { origin, reducedMotion: "reduce", ...options });
  await page.addInitScript((chosen) => localStorage.setItem("phial.language", chosen), language);
  for (const [what, use] of Object.entries(OPENED)) {
    await use(page, async (path) => {
      await page.goto(`${origin}/console/${path}`);
      await page.waitForFunction(() => !document.querySelector(".skeleton, .boot"));
    });
    if (how.shots !== null) await page.screenshot({ path: join(how.shots, `${what}-${name}.png`) });
    how.problems.push(...(await findings(page, how.axe, `${what} (${name})`, [])));
  }
  await page.context().close();
  return Object.keys(OPENED).length;
}

async function walk(browser, { origin }, paths, { name, language, ...options }, mode, how) {
  const page = await watchedPage(browser, { origin, reducedMotion: "reduce", ...options });
  await page.addInitScript((chosen) => localStorage.setItem("phial.language", chosen), language);
  for (const path of paths) {
    const where = `${path || "overview"} (${mode}, ${name})`;
    await page.goto(`${origin}/console/${path}`);
    await page.waitForFunction(() => !document.querySelector(".skeleton, .boot"));
    if (how.shots !== null) await page.screenshot({ path: join(how.shots, `${path.replace("/", "-").split("#")[0] || "overview"}-${mode}-${name}.png`), fullPage: true });
    const problems = await findings(page, how.axe, where, NOTES[mode]);
    if ((await page.locator("html").getAttribute("lang")) !== language) problems.push(`${where} is not in ${language}`);
    const tells = (await page.locator(".state.failed").count()) > 0;
    if (mode === "failing" && !tells && !WITHOUT_DATA.includes(path)) problems.push(`${where} does not tell of its failure`);
    how.problems.push(...problems);
  }
  await page.context().close();
  return paths.length;
}

/** What is wrong with a page. axe is run by the debugger, which the page's policy does not bind. */
async function findings(page, axe, where, notes) {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`));
  });
  const over = await overflow(page);
  const tooWide = over > 0 ? [`${over} pixels wider than the window`] : [];
  return [...violations, ...tooWide, ...page.takeProblems(notes)].map((line) => `${where}: ${line}`);
}
