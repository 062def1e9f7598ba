// Tests of the console in a browser.
//
//   node console.mjs pages ROOT [FOLDER]   against a stand-in; screenshots into FOLDER
//   node console.mjs server LINK [FOLDER]  the whole way against a server whose setup link is LINK

import { launch } from "./browser.mjs";
import { checkDictionaries } from "./dictionaries.mjs";
import { wholeWay } from "./journey.mjs";
import { checkPages } from "./pages.mjs";
import { checkParts } from "./parts.mjs";

const [what, target, shots = null] = process.argv.slice(2);
const browser = await launch();
try {
  if (what === "pages") {
    console.log(`${await checkDictionaries(target)} entries in three languages`);
    await checkParts(browser, target);
    console.log(`${await checkPages(browser, target, shots)} pages are clean`);
  } else if (what === "server") {
    await wholeWay(browser, target, shots);
  } else {
    throw new Error("usage: console.mjs pages ROOT | server LINK");
  }
} finally {
  await browser.close();
}
