// Who did what to accounts, keys and options.

import { api } from "../../api.js";
import { card, page } from "../../components/layout.js";
import { emptyState } from "../../components/states.js";
import { pagedTable } from "../../components/table.js";
import { h } from "../../dom.js";
import { exactTime, t } from "../../i18n.js";

/** `/console/admin/audit` */
export function auditPage({ signal }) {
  const table = pagedTable({
    caption: t("nav.audit"),
    signal,
    size: 50,
    columns: [
      { label: t("usage.when"), kind: "main", cell: ({ created_at: at }) => exactTime(at) },
      { label: t("audit.who"), cell: ({ username }) => username || h("span.muted", t("audit.nobody")) },
      { label: t("audit.what"), cell: ({ action }) => h("code", action) },
      { label: t("audit.subject"), cell: ({ subject }) => subject || "–" },
      { label: t("audit.detail"), cell: ({ detail }) => h("span.small.wrap", detail) },
      { label: t("audit.from"), cell: ({ ip }) => h("code.small", ip) },
    ],
    load: (p, size) => api("GET", "/api/audit", { query: { p, size }, signal }),
    empty: () => emptyState({ symbol: "audit", title: t("audit.empty") }),
  });
  return page({ title: t("nav.audit"), lead: t("audit.lead") }, card({ kind: "flush" }, table));
}
