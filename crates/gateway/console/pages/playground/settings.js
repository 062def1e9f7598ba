// The model, the system prompt, parameters, tools and the form of answers.

import { areaField, numberField, selectField, switchField } from "../../components/form.js";
import { h } from "../../dom.js";
import { t } from "../../i18n.js";
import { session } from "../../session.js";
import { problems } from "./state.js";

/** The settings of `state`, written to it as they change; `onchange` is called after. */
export function settingsPanel(state, onchange) {
  const bind = (field, write) => {
    const take = () => {
      if (field.check() === null) write(field.read());
      field.fail(field.check());
      onchange();
    };
    field.input.addEventListener("input", take);
    field.input.addEventListener("change", take);
    return field.element;
  };
  const models = session.status.models;
  if (!models.includes(state.model)) state.model = models[0] ?? null;
  return [
    bind(selectField({ name: "model", label: t("usage.model"), value: state.model, options: models.map((name) => [name, name]) }), (value) => (state.model = value)),
    bind(areaField({ name: "system", label: t("playground.system"), value: state.system, rows: 3, placeholder: t("playground.system_example") }), (value) => (state.system = value)),
    h("details.fold", { open: true }, h("summary", t("playground.parameters")), h("div.pair", parameters(state, bind)), stops(state, bind)),
    toolSettings(state, bind),
    formatSettings(state, bind),
  ];
}

function parameters(state, bind) {
  const make = (name, label, limits) => bind(numberField({ name, label, value: state.parameters[name], placeholder: t("playground.default"), ...limits }), (value) => (state.parameters[name] = value));
  return [
    make("temperature", t("playground.temperature"), { min: 0, max: 2, step: 0.1 }),
    make("top_p", "Top-p", { min: 0, max: 1, step: 0.05 }),
    make("max_tokens", t("playground.max_tokens"), { min: 1, max: 131_072, step: 1 }),
    make("seed", t("playground.seed"), { min: 0, max: 2 ** 53 - 1, step: 1 }),
  ];
}

function stops(state, bind) {
  return bind(areaField({ name: "stop", label: t("playground.stop_words"), hint: t("playground.stop_words_hint"), value: state.parameters.stop, rows: 1, isCode: true, check: (text) => (text.split("\n").filter(Boolean).length > 4 ? t("playground.stop_words_hint") : null) }), (value) => (state.parameters.stop = value));
}

function toolSettings(state, bind) {
  const editor = areaField({ name: "tools", label: t("playground.tools_json"), value: state.tools, rows: 12, isCode: true });
  const choice = selectField({ name: "tool_choice", label: t("playground.tool_choice"), value: state.toolChoice, options: ["auto", "required", "none"].map((name) => [name, t(`playground.choice_${name}`)]) });
  const inside = h("div.stack.tight", { hidden: !state.hasTools }, bind(choice, (value) => (state.toolChoice = value)), bindJson(editor, state, "tools", bind));
  const use = bind(switchField({ name: "has_tools", label: t("playground.use_tools"), value: state.hasTools }), (value) => {
    state.hasTools = value;
    inside.hidden = !value;
  });
  return h("details.fold", { open: state.hasTools }, h("summary", t("playground.tools")), use, inside);
}

/** An editor of JSON that says what is wrong with it, and lays it out when it is left. */
function bindJson(field, state, name, bind) {
  const element = bind(field, (value) => (state[name] = value));
  const show = () => {
    const problem = problems(state)[name];
    field.fail(problem === null ? null : problem === "shape" ? t(`playground.shape_${name}`) : t("playground.json_wrong", { problem }));
  };
  field.input.addEventListener("input", show);
  field.input.addEventListener("blur", () => {
    if (problems(state)[name] !== null || field.read().trim() === "") return;
    field.input.value = JSON.stringify(JSON.parse(field.read()), null, 2);
    state[name] = field.input.value;
  });
  return element;
}

function formatSettings(state, bind) {
  const editor = areaField({ name: "schema", label: t("playground.schema"), value: state.schema, rows: 10, isCode: true });
  const inside = h("div", { hidden: state.format !== "json_schema" }, bindJson(editor, state, "schema", bind));
  const format = bind(selectField({ name: "format", label: t("playground.format"), value: state.format, options: ["text", "json_object", "json_schema"].map((name) => [name, t(`playground.format_${name}`)]) }), (value) => {
    state.format = value;
    inside.hidden = value !== "json_schema";
  });
  return h("details.fold", { open: state.format !== "text" }, h("summary", t("playground.response")), format, inside);
}
