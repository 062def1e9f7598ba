// Tables that are tables on a desk and cards on a telephone.

import { h } from "../dom.js";
import { number, t } from "../i18n.js";
import { button } from "./button.js";
import { loaded } from "./states.js";

/**
 * A table. A column is `{label, cell(row), kind}`; `kind` is `number`, `actions`, `main` (the card's
 * heading) or nothing. Roles are spelt out because cards lose those of the elements.
 */
export function dataTable({ caption, columns, rows, rowName = null }) {
  const heads = columns.map(({ label, kind }) =>
    h("th", { scope: "col", role: "columnheader", class: kind }, kind === "actions" ? h("span.visually-hidden", label) : label),
  );
  const lines = rows.map((row) =>
    h(
      "tr",
      { role: "row", dataset: rowName ? { row: rowName(row) } : {} },
      columns.map(({ label, cell, kind }) =>
        h(kind === "main" ? "th" : "td", { role: kind === "main" ? "rowheader" : "cell", scope: kind === "main" ? "row" : null, class: kind, dataset: { label } }, h("div.cell", cell(row))),
      ),
    ),
  );
  return h(
    "div.table-frame",
    { tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      { role: "table" },
      h("caption.visually-hidden", caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      h("tbody", { role: "rowgroup" }, lines),
    ),
  );
}

/**
 * A table of pages. `load(page, size)` resolves with `{items, total}`; `empty()` is shown when there
 * is nothing at all. `reload` of the returned element reads the page anew.
 */
export function pagedTable({ caption, columns, load, empty, rowName, size = 20, signal }) {
  let page = 1;
  const place = loaded({
    signal,
    lines: 6,
    load: () => load(page, size),
    show: ({ items, total }) => {
      if (items.length === 0 && page === 1) return empty();
      const turn = (to) => {
        page = to;
        return place.reload(true);
      };
      return [dataTable({ caption, columns, rows: items, rowName }), pager({ page, size, total, turn })];
    },
  });
  place.first = () => {
    page = 1;
    return place.reload();
  };
  return place;
}

function pager({ page, size, total, turn }) {
  const pages = Math.max(1, Math.ceil(total / size));
  if (pages === 1) return h("p.pager", t("table.total", { count: total }));
  return h(
    "nav.pager",
    { "aria-label": t("table.pages") },
    h("span", t("table.page", { page: number(page), pages: number(pages), count: total })),
    button(t("table.previous"), { kind: "quiet", disabled: page <= 1, onclick: () => turn(page - 1) }),
    button(t("table.next"), { kind: "quiet", disabled: page >= pages, onclick: () => turn(page + 1) }),
  );
}
