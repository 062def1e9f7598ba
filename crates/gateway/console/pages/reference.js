// The reference of the public API, made from the server's own description.

import { ApiError, reach } from "../api.js";
import { copyButton } from "../components/copy.js";
import { badge, card, page } from "../components/layout.js";
import { loaded } from "../components/states.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { hrefOf, navigate } from "../router.js";
import { baseUrl } from "../session.js";
import { grouped, operations } from "./reference/document.js";
import { schemaView } from "./reference/schema.js";
import { tryIt } from "./reference/try-it.js";

const METHOD_KINDS = { GET: "method-get", POST: "method-post", DELETE: "method-delete", PUT: "method-post" };

/** `/console/reference`, or `/console/reference/{operation}` */
export function referencePage({ rest, signal }) {
  const base = h("span.copyable", h("span.muted", t("keys.base_url")), h("code", baseUrl()), copyButton(baseUrl));
  const management = h("a", { href: "/api/openapi.json", target: "_blank" }, t("reference.management"));
  const place = loaded({ signal, lines: 8, load: () => readDocument(signal), show: (document) => show(document, rest, signal) });
  return page({ title: t("nav.reference"), lead: [t("reference.lead"), " ", management], actions: base }, place);
}

async function readDocument(signal) {
  const response = await reach("/openapi.json", { signal, credentials: "same-origin" });
  if (!response.ok) throw new ApiError(t("error.status", { status: String(response.status) }), response.status);
  return response.json();
}

function show(document, wanted, signal) {
  const list = operations(document);
  const chosen = list.find(({ id }) => id === wanted) ?? list[0];
  const groups = grouped(list);
  return h("div.reference", contents(groups, chosen), operationView(document, chosen, signal));
}

function contents(groups, chosen) {
  const link = (operation) => h("li", h("a", { href: hrefOf(`/reference/${operation.id}`), "aria-current": operation === chosen ? "page" : null }, method(operation), h("span", operation.summary)));
  const list = h("nav.contents", { "aria-label": t("reference.contents") }, groups.map(([name, entries]) => h("div", h("h2", t(`group.${name}`)), h("ul", entries.map(link)))));
  // On a telephone, a list to choose from takes less room than the links.
  const select = h("select", { "aria-label": t("reference.contents"), onchange: () => navigate(`/reference/${select.value}`) }, groups.map(([name, entries]) => h("optgroup", { label: t(`group.${name}`) }, entries.map(({ id, method: verb, path }) => h("option", { value: id }, `${verb} ${path}`)))));
  select.value = chosen.id;
  return [list, h("div.contents-choice", select)];
}

function method({ method: name }) {
  return h("span.method", { class: METHOD_KINDS[name] ?? "" }, name);
}

function operationView(document, operation, signal) {
  const answered = operation.responses.map((response) => responseView(document, response));
  return h(
    "article.operation",
    h("header", h("h2", operation.summary), h("p.address", method(operation), h("code", operation.path), copyButton(() => operation.path)), operation.description && h("p.lead", operation.description)),
    card({ title: t("reference.try"), hint: t("reference.try_hint") }, tryIt(document, operation, signal)),
    operation.body && card({ title: t("reference.body"), hint: operation.isForm ? "multipart/form-data" : "application/json" }, schemaView(document, operation.body)),
    card({ title: t("reference.answers") }, answered),
  );
}

function responseView(document, { status, description, types, schema }) {
  const kind = status.startsWith("2") ? "good" : status.startsWith("5") ? "bad" : "warn";
  const head = [badge(status, kind), h("span", description), h("span.muted.small", types.join(", "))];
  if (schema === null) return h("div.response", h("div.field-head", head));
  const inside = h("div");
  const fold = h("details.response", h("summary", h("span.field-head", head)), inside);
  fold.addEventListener("toggle", () => {
    if (fold.open && inside.childElementCount === 0) inside.append(schemaView(document, schema));
  });
  return fold;
}
