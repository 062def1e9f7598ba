// Serves the console with made-up data, to look at it while it is written.
//
//   node tests/console/look.mjs [full|empty|failing] [PORT]

import { fileURLToPath } from "node:url";
import { standIn } from "./stand-in.mjs";

const [mode = "full", port = "8090"] = process.argv.slice(2);
const root = fileURLToPath(new URL("../..", import.meta.url));
const { origin } = await standIn(root, { mode, port: Number(port) });
console.log(`${origin}/console/`);
