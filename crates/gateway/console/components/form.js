// Fields with labels, hints and errors tied to them, and the form that reads them.

import { h, replace, uniqueId } from "../dom.js";
import { t } from "../i18n.js";
import { button, whileBusy } from "./button.js";

/**
 * One field: `element` to place, `read()` its value, `check()` what is wrong with it or `null`,
 * `fail(text)` to show that.
 */
function makeField({ name, label, hint, input, read, check, isInline = false }) {
  const id = (input.id ||= uniqueId(name));
  const error = h("p.field-error", { id: `${id}-error` });
  const described = [hint ? `${id}-hint` : null, error.id].filter(Boolean).join(" ");
  input.setAttribute("aria-describedby", described);
  input.name = name;
  const words = h("label", { for: id }, label);
  const help = hint && h("p.hint", { id: `${id}-hint` }, hint);
  const element = isInline
    ? h("div.field.inline", h("div.field-line", input, words), help, error)
    : h("div.field", words, input, help, error);
  const fail = (text) => {
    replace(error, text);
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => fail(null));
  return { name, element, input, read, check: () => check?.(read()) ?? null, fail };
}

/** One line of text. `check` gets the value and says what is wrong with it. */
export function textField({ name, label, hint, value = "", isRequired = false, check = null, type = "text", ...rest }) {
  const input = h("input", { type, value, required: isRequired, ...rest });
  const checkAll = (text) => (isRequired && text.trim() === "" ? t("form.required") : check?.(text));
  return makeField({ name, label, hint, input, read: () => input.value, check: checkAll });
}

/** A number; an empty field reads as `null`. */
export function numberField({ name, label, hint, value = null, min = null, max = null, step = "any", isRequired = false, ...rest }) {
  const attributes = { type: "number", inputmode: step === "any" ? "decimal" : "numeric", min, max, step, value: value ?? "", required: isRequired };
  const input = h("input", { ...attributes, ...rest });
  const check = () => {
    if (input.value === "" && !input.validity.badInput) return isRequired ? t("form.required") : null;
    return input.validity.valid ? null : numberProblem(input);
  };
  return makeField({ name, label, hint, input, check, read: () => (input.value === "" ? null : Number(input.value)) });
}

function numberProblem({ validity, min, max }) {
  if (validity.rangeUnderflow) return t("form.at_least", { value: Number(min) });
  if (validity.rangeOverflow) return t("form.at_most", { value: Number(max) });
  if (validity.stepMismatch) return t("form.whole");
  return t("form.number");
}

/** Several lines of text. */
export function areaField({ name, label, hint, value = "", rows = 3, check = null, isRequired = false, isCode = false, ...rest }) {
  const input = h("textarea", { rows, value, required: isRequired, class: isCode ? "code" : "", spellcheck: isCode ? "false" : null, ...rest });
  const checkAll = (text) => (isRequired && text.trim() === "" ? t("form.required") : check?.(text));
  return makeField({ name, label, hint, input, read: () => input.value, check: checkAll });
}

/** One of `options`, pairs of value and label. */
export function selectField({ name, label, hint, value, options, ...rest }) {
  const input = h("select", rest, options.map(([key, words]) => h("option", { value: key }, words)));
  input.value = value ?? options[0]?.[0] ?? "";
  return makeField({ name, label, hint, input, read: () => input.value });
}

/** Yes or no. */
export function switchField({ name, label, hint, value = false, ...rest }) {
  const input = h("input.switch", { type: "checkbox", role: "switch", checked: value, ...rest });
  return makeField({ name, label, hint, input, isInline: true, read: () => input.checked });
}

/** Any of `options`, pairs of value and label. */
export function choicesField({ name, label, hint, value = [], options, check = null }) {
  const boxes = options.map(([key, words]) => {
    const box = h("input", { type: "checkbox", value: key, id: uniqueId(name), checked: value.includes(key) });
    return { box, element: h("label.choice", { for: box.id }, box, h("span", words)) };
  });
  const error = h("p.field-error", { id: uniqueId("error") });
  const group = h("fieldset.field", { "aria-describedby": error.id }, h("legend", label), h("div.choices", boxes.map(({ element }) => element)), hint && h("p.hint", hint), error);
  const read = () => boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
  const fail = (text) => replace(error, text);
  return { name, element: group, input: boxes[0]?.box, read, check: () => check?.(read()) ?? null, fail };
}

/** Elements of a form that are no fields: headings, notes. Fields inside are given apart. */
export function section(title, fields, hint = null) {
  return { isSection: true, fields, element: h("fieldset.form-section", h("legend", title), hint && h("p.hint", hint), fields.map(({ element }) => element)) };
}

/**
 * A form. `fields` are fields and sections; `onsubmit` gets the values by name and may throw: then
 * the error stands at the form's end and nothing that was typed is lost.
 */
export function form({ fields, submit, onsubmit, oncancel = null, kind = "primary", label = null }) {
  const all = fields.flatMap((part) => (part.isSection ? part.fields.flatMap((field) => field.isSection ? field.fields : [field]) : [part]));
  const alert = h("p.form-error", { role: "alert" });
  const send = button(submit, { kind, type: "submit", name: "submit" });
  const element = h(
    "form.form",
    { novalidate: true, "aria-label": label },
    fields.map((part) => part.element),
    alert,
    h("div.actions", oncancel && button(t("action.cancel"), { onclick: oncancel }), send),
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    replace(alert);
    if (showProblems(all)) return;
    const values = Object.fromEntries(all.map((field) => [field.name, field.read()]));
    void whileBusy(send, async () => {
      try {
        await onsubmit(values);
      } catch (error) {
        if (error.name !== "AbortError") replace(alert, error.message);
      }
    });
  });
  return element;
}

/** Shows what is wrong and goes to the first of it; says whether anything is. */
function showProblems(fields) {
  const wrong = fields.filter((field) => {
    const isHidden = field.element.closest("[hidden]") !== null;
    const problem = isHidden ? null : field.check();
    field.fail(problem);
    return problem !== null;
  });
  if (wrong.length === 0) return false;
  const [first] = wrong;
  const fold = first.element.closest("details");
  if (fold) fold.open = true;
  first.input?.focus();
  return true;
}
