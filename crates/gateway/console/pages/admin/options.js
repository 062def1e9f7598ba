// What an administrator sets while the server runs: who may sign up, what new users get, prices.

import { api } from "../../api.js";
import { button, iconButton } from "../../components/button.js";
import { form, numberField, selectField, textField } from "../../components/form.js";
import { card, page } from "../../components/layout.js";
import { emptyState, loaded } from "../../components/states.js";
import { toast } from "../../components/toast.js";
import { h, replace } from "../../dom.js";
import { currencyName, t, unitsPerOne } from "../../i18n.js";
import { session } from "../../session.js";

/** Stands for every model without prices of its own. */
const ANY_MODEL = "*";

/** `/console/admin/options` */
export function optionsPage({ signal }) {
  const place = loaded({ signal, lines: 6, load: () => api("GET", "/api/option/", { signal }), show: (options) => [general(options), prices(options)], tag: "div.stack" });
  return page({ title: t("nav.options"), lead: t("options.lead") }, place);
}

async function save(body) {
  await api("PUT", "/api/option/", { body });
  session.status = await api("GET", "/api/status");
  toast(t("state.saved"));
}

function general(options) {
  const fields = [
    selectField({ name: "sign_up", label: t("options.sign_up"), hint: t("options.sign_up_hint"), value: options.sign_up, options: ["off", "invitation", "open"].map((name) => [name, t(`options.sign_up_${name}`)]) }),
    numberField({ name: "new_user_quota", label: t("options.new_user_quota", { currency: currencyName() }), hint: t("options.new_user_quota_hint"), value: options.new_user_quota / unitsPerOne(), min: 0, max: 1e9, isRequired: true }),
  ];
  const submit = ({ sign_up: signUp, new_user_quota: quota }) => save({ sign_up: signUp, new_user_quota: Math.round(quota * unitsPerOne()) });
  return card({ title: t("options.accounts"), kind: "narrow" }, form({ fields, submit: t("action.save"), onsubmit: submit, label: t("options.accounts") }));
}

function prices(options) {
  const rows = h("div.price-rows");
  const entries = [];
  const drawEmpty = () => {
    if (entries.length === 0) replace(rows, emptyState({ symbol: "options", title: t("options.no_prices"), text: t("options.no_prices_text") }));
  };
  const addRow = (model, price) => {
    if (entries.length === 0) replace(rows);
    const row = priceRow(model, price, () => {
      entries.splice(entries.indexOf(row), 1);
      row.element.remove();
      drawEmpty();
    });
    entries.push(row);
    rows.append(row.element);
    return row;
  };
  Object.entries(options.prices).forEach(([model, price]) => addRow(model, price));
  drawEmpty();
  const missing = () => [...session.status.models, ANY_MODEL].find((name) => !entries.some((row) => row.model.read() === name)) ?? "";
  const add = button(t("options.add_price"), { symbol: "plus", onclick: () => addRow(missing(), { input: 0, cached_input: 0, output: 0 }).model.input.focus() });
  const submit = () => save({ prices: Object.fromEntries(checked(entries)) });
  const part = { isSection: true, fields: [], element: h("div", rows, add) };
  return card({ title: t("options.prices"), hint: t("options.prices_hint", { currency: currencyName() }) }, form({ fields: [part], submit: t("action.save"), onsubmit: submit, label: t("options.prices") }));
}

function priceRow(model, price, remove) {
  const name = textField({ name: "model", label: t("usage.model"), value: model, isRequired: true, autocomplete: "off" });
  const amount = (field, label) => numberField({ name: field, label, value: price[field] / unitsPerOne(), min: 0, max: 1e6, isRequired: true });
  const parts = [amount("input", t("options.input")), amount("cached_input", t("options.cached_input")), amount("output", t("options.output"))];
  const element = h("div.price-row", { role: "group", "aria-label": model }, name.element, parts.map((part) => part.element), iconButton("trash", t("keys.action_of", { action: t("action.delete"), name: model }), { onclick: remove }));
  return { model: name, parts, element };
}

/** Prices as the API has them; what is wrong is shown at its field. */
function checked(entries) {
  let isWrong = false;
  const pairs = entries.map(({ model, parts }) => {
    for (const field of [model, ...parts]) {
      const problem = field.check();
      field.fail(problem);
      isWrong ||= problem !== null;
    }
    return [model.read().trim(), Object.fromEntries(parts.map((part) => [part.name, Math.round(part.read() * unitsPerOne())]))];
  });
  if (isWrong) throw new Error(t("options.wrong"));
  if (new Set(pairs.map(([model]) => model)).size < pairs.length) throw new Error(t("options.twice"));
  return pairs;
}
