// The browser, and what must never happen in it.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];

export function launch() {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}

/**
 * A page that remembers every request to elsewhere, every message of the content security policy,
 * and every error. `assertClean` fails when there was any.
 */
export async function watchedPage(browser, { origin, ...options }) {
  const context = await browser.newContext({ baseURL: origin, locale: "en-GB", timezoneId: "Europe/Berlin", permissions: ["clipboard-read", "clipboard-write"], ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("request", (request) => {
    const { protocol } = new URL(request.url());
    if (new URL(request.url()).origin !== origin && !["data:", "blob:"].includes(protocol)) wrong.push(`request to ${request.url()}`);
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
  });
  /** What went wrong since the last time, but for what matches `allowed`: notes that a test provokes. */
  page.takeProblems = (allowed = []) => wrong.splice(0).filter((line) => !allowed.some((pattern) => pattern.test(line)));
  page.assertClean = (where, allowed) => assert.deepEqual(page.takeProblems(allowed), [], `${where} is not clean`);
  return page;
}

/** Pixels by which the page is wider than the window. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
