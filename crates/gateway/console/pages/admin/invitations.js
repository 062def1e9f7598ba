// Invitations to sign up: each is a link that works once.

import { api } from "../../api.js";
import { button } from "../../components/button.js";
import { copyButton } from "../../components/copy.js";
import { openDialog } from "../../components/dialog.js";
import { badge, card, page } from "../../components/layout.js";
import { emptyState } from "../../components/states.js";
import { pagedTable } from "../../components/table.js";
import { toastError } from "../../components/toast.js";
import { h } from "../../dom.js";
import { dateTime, t } from "../../i18n.js";
import { hrefOf } from "../../router.js";
import { session } from "../../session.js";

/** `/console/admin/invitations` */
export function invitationsPage({ signal }) {
  const table = pagedTable({
    caption: t("nav.invitations"),
    signal,
    columns: [
      { label: t("invitations.made"), kind: "main", cell: ({ created_time: at }) => dateTime(at) },
      { label: t("invitations.until"), cell: ({ expired_time: at }) => dateTime(at) },
      { label: t("keys.status"), cell: state },
      { label: t("invitations.used_by"), cell: ({ used_by: name }) => name || "–" },
    ],
    load: async (p, size) => {
      const data = await api("GET", "/api/invitation", { query: { p, size }, signal });
      return Array.isArray(data) ? { items: data, total: data.length } : data;
    },
    empty: () => emptyState({ symbol: "invitation", title: t("invitations.empty"), text: t("invitations.empty_text"), action: invite("plain") }),
  });
  const invite = (kind) => button(t("invitations.add"), { kind, symbol: "plus", name: "invite", onclick: () => add(() => table.first()) });
  const note = session.status.sign_up === "off" && h("p.note", t("invitations.off"), " ", h("a", { href: hrefOf("/admin/options") }, t("nav.options")));
  return page({ title: t("nav.invitations"), lead: t("invitations.lead"), actions: invite("primary") }, note, card({ kind: "flush" }, table));
}

function state({ used_by: name, expired_time: at }) {
  if (name) return badge(t("invitations.used"), "good");
  if (at > 0 && at * 1000 < Date.now()) return badge(t("keys.expired"), "warn");
  return badge(t("invitations.open"));
}

async function add(done) {
  let made;
  try {
    made = await api("POST", "/api/invitation");
  } catch (error) {
    toastError(error);
    return;
  }
  void done();
  const link = `${location.origin}${hrefOf("/sign-up")}#${encodeURIComponent(made.code)}`;
  await openDialog({
    title: t("invitations.link"),
    lead: t("invitations.once", { date: dateTime(made.expired_time) }),
    isSticky: true,
    content: (close) =>
      h(
        "div.once",
        h("div.secret", h("input", { class: "code", readOnly: true, value: link, "aria-label": t("invitations.link"), onfocus: (event) => event.target.select() }), copyButton(() => link, { label: t("action.copy"), kind: "primary" })),
        h("div.actions", button(t("invitations.have_it"), { kind: "primary", name: "done", onclick: () => close() })),
      ),
  });
}
