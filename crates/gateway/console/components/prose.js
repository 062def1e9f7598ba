// What models write, with blocks of code, lists and emphasis. Elements are built, never parsed as HTML;
// what is no known mark stays as it was written.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { codeBlock } from "./code.js";

/** The text as elements. A block of code that is not closed yet reaches to the end. */
export function prose(text) {
  const parts = text.split(/^```([^\n`]*)\n?/m);
  const elements = [];
  for (let at = 0; at < parts.length; at += 4) {
    elements.push(...paragraphs(parts[at]));
    if (at + 2 < parts.length) elements.push(codeBlock(parts[at + 2].replace(/\n$/, ""), parts[at + 1].trim() || t("playground.code")));
    // After the closing mark, what `split` captured there is no language.
    if (at + 3 < parts.length && parts[at + 3]) elements.push(...paragraphs(parts[at + 3]));
  }
  return h("div.prose", elements);
}

function paragraphs(text) {
  return text.split(/\n{2,}/).filter((part) => part.trim()).map(block);
}

function block(text) {
  const lines = text.replace(/^\n+|\n+$/g, "").split("\n");
  const heading = lines.length === 1 && /^#{1,4}\s+(.*)$/.exec(lines[0]);
  if (heading) return h("p.prose-heading", inline(heading[1]));
  if (lines.every((line) => /^\s*[-*•]\s+/.test(line))) return h("ul", lines.map((line) => h("li", inline(line.replace(/^\s*[-*•]\s+/, "")))));
  if (lines.every((line) => /^\s*\d+[.)]\s+/.test(line))) {
    const start = /\d+/.exec(lines[0])[0];
    return h("ol", { start }, lines.map((line) => h("li", inline(line.replace(/^\s*\d+[.)]\s+/, "")))));
  }
  return h("p", inline(lines.join("\n")));
}

/** Emphasis and code within a line. */
function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part) => {
    if (/^`[^`]+`$/.test(part)) return h("code", part.slice(1, -1));
    if (/^\*\*[^*]+\*\*$/.test(part)) return h("strong", part.slice(2, -2));
    return part;
  });
}
