// A schema as a list of fields that opens where it is deep.

import { badge } from "../../components/layout.js";
import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { resolve, typeName } from "./document.js";

/** Fields of `schema`; those of its own choices under headings. */
export function schemaView(document, schema, seen = []) {
  const whole = resolve(document, schema);
  const name = schema.$ref ?? null;
  if (name !== null && seen.includes(name)) return h("p.muted.small", t("reference.as_above", { name: typeName(document, schema) }));
  const path = name === null ? seen : [...seen, name];
  const choices = (whole.anyOf ?? whole.oneOf)?.filter((choice) => isDeep(document, choice));
  if (choices?.length > 0) return h("div.choices-view", choices.map((choice, index) => h("div", h("p.muted.small", t("reference.one_of", { index: index + 1, count: choices.length, name: typeName(document, choice) })), schemaView(document, choice, path))));
  if (isList(whole)) return schemaView(document, whole.items ?? {}, path);
  const required = new Set(whole.required ?? []);
  const fields = Object.entries(whole.properties ?? {});
  if (fields.length === 0) return h("p.muted.small", typeName(document, schema));
  return h("ul.fields", fields.map(([field, inner]) => fieldView(document, field, inner, required.has(field), path)));
}

function fieldView(document, name, schema, isRequired, seen) {
  const head = [h("code.field-name", name), h("span.field-type", typeName(document, schema)), isRequired && badge(t("reference.required"), "warn")];
  const notes = [resolve(document, schema)?.description, limits(schema)].filter(Boolean).map((note) => h("p.hint", note));
  if (!isDeep(document, schema)) return h("li.schema-field", h("div.field-head", head), notes);
  // Schemas may contain themselves: what is inside is made when it is asked for.
  const inside = h("div");
  const fold = h("details", h("summary", h("span.field-head", head)), inside);
  fold.addEventListener("toggle", () => {
    if (fold.open && inside.childElementCount === 0) inside.append(schemaView(document, schema, seen));
  });
  return h("li.schema-field", fold, notes);
}

function isList(schema) {
  return [schema.type].flat().includes("array");
}

/** Whether there is more inside than its name says. */
function isDeep(document, unresolved) {
  const schema = resolve(document, unresolved) ?? {};
  if (Object.keys(schema.properties ?? {}).length > 0) return true;
  if (schema.items) return isDeep(document, schema.items);
  return (schema.anyOf ?? schema.oneOf ?? []).some((choice) => isDeep(document, choice));
}

const LIMITS = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<" };

function limits(schema) {
  const parts = Object.entries(LIMITS).filter(([name]) => name in schema).map(([name, sign]) => `${sign} ${schema[name]}`);
  if ("default" in schema) parts.push(t("reference.default", { value: JSON.stringify(schema.default) }));
  for (const name of ["minItems", "maxItems", "minLength", "maxLength", "maxProperties"]) if (name in schema) parts.push(`${name} ${schema[name]}`);
  return parts.join(" · ");
}
