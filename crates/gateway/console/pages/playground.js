// A chat to try the model with.

import { api } from "../api.js";
import { button } from "../components/button.js";
import { codeTabs } from "../components/code.js";
import { openDialog } from "../components/dialog.js";
import { page } from "../components/layout.js";
import { emptyState } from "../components/states.js";
import { toastError } from "../components/toast.js";
import { h, replace } from "../dom.js";
import { t } from "../i18n.js";
import { baseUrl, refreshUser, session } from "../session.js";
import { chatSnippets } from "../snippets.js";
import { enginesOf } from "./overview.js";
import { ask, emptyAnswer } from "./playground/answer.js";
import { composer } from "./playground/composer.js";
import { settingsPanel } from "./playground/settings.js";
import { openCalls, playground as state, problems, requestBody } from "./playground/state.js";
import { resultsForm, turnElement } from "./playground/turns.js";

/** From this width on, the settings stand beside the chat. */
const WIDE = "(min-width: 1000px)";

/** `/console/playground` */
export function playgroundPage({ signal }) {
  const log = h("div.turns", { role: "log", "aria-label": t("playground.conversation"), tabindex: "0" });
  const status = h("p.visually-hidden", { role: "status" });
  const chat = new Chat({ log, status, signal });
  const settings = settingsPanel(state, () => chat.settingsChanged());
  const side = h("details.settings-panel", { open: matchMedia(WIDE).matches }, h("summary", t("playground.settings")), h("div.stack.tight", settings));
  const actions = [button(t("playground.show_code"), { symbol: "code", name: "show-code", onclick: showCode }), button(t("playground.clear"), { kind: "quiet", symbol: "trash", name: "clear", onclick: () => chat.clear() })];
  void chat.readCapabilities();
  chat.draw();
  return page({ title: t("nav.playground"), actions }, h("div.playground", h("section.chat", { "aria-label": t("playground.conversation") }, log, status, chat.composer.element), side));
}

/** One page's view of the conversation, and the answer that is coming. */
class Chat {
  constructor({ log, status, signal }) {
    this.log = log;
    this.status = status;
    this.signal = signal;
    this.stopper = null;
    this.capabilities = new Map();
    this.composer = composer({ onsend: (message) => this.send(message), onstop: () => this.stopper?.abort() });
    // An answer nobody sees any more is not worth its cost.
    signal.addEventListener("abort", () => this.stopper?.abort());
  }

  async readCapabilities() {
    try {
      const models = enginesOf(await api("GET", "/api/engine", { signal: this.signal }));
      this.capabilities = new Map(models.map((model) => [model.id, model.capabilities ?? []]));
      this.settingsChanged();
    } catch {
      // Not known: then only text is offered, which every model reads.
    }
  }

  settingsChanged() {
    this.composer.setCapabilities(this.capabilities.get(state.model) ?? []);
  }

  send({ text, attachments }) {
    state.turns = state.turns.filter((turn) => !turn.error);
    if (openCalls(state).length > 0) state.turns = withoutOpenCalls(state.turns);
    state.turns.push({ role: "user", text, attachments });
    void this.answer();
  }

  async answer() {
    const wrong = Object.entries(problems(state)).find(([, problem]) => problem !== null);
    if (wrong) {
      state.turns.push({ ...emptyAnswer(), isPending: false, error: t(`playground.fix_${wrong[0]}`) });
      this.draw();
      return;
    }
    const body = requestBody(state);
    const turn = emptyAnswer();
    state.turns.push(turn);
    this.stopper = new AbortController();
    this.composer.setBusy(true);
    this.status.textContent = t("playground.answering");
    this.draw();
    await ask(body, turn, { signal: this.stopper.signal, onchange: () => this.drawLast() });
    this.stopper = null;
    this.composer.setBusy(false);
    this.status.textContent = turn.error ?? t("playground.answered", { count: turn.usage?.completion_tokens ?? 0 });
    this.draw();
    refreshUser(this.signal).catch(() => {});
    if (!this.signal.aborted && !matchMedia("(pointer: coarse)").matches && openCalls(state).length === 0) this.composer.focus();
  }

  again() {
    while (state.turns.length > 0 && state.turns[state.turns.length - 1].role === "assistant") state.turns.pop();
    void this.answer();
  }

  clear() {
    this.stopper?.abort();
    state.turns = [];
    this.draw();
    this.composer.focus();
  }

  draw() {
    if (state.turns.length === 0) {
      replace(this.log, welcome((text) => this.send({ text, attachments: [] })));
      return;
    }
    const last = state.turns.length - 1;
    const retry = state.turns[last].isPending ? null : () => this.again();
    replace(this.log, state.turns.map((turn, index) => turnElement(turn, { retry: index === last && turn.role === "assistant" ? retry : null })), this.results());
    this.log.scrollTop = this.log.scrollHeight;
  }

  /** Calls of the last answer, when all of it is there. */
  results() {
    const calls = this.stopper === null ? openCalls(state) : [];
    if (calls.length === 0) return null;
    return resultsForm(calls, (turns) => {
      state.turns.push(...turns);
      return this.answer();
    });
  }

  /** Only what changes while an answer comes; follows its end unless the reader scrolled up. */
  drawLast() {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      const { log } = this;
      const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
      const turn = state.turns[state.turns.length - 1];
      if (turn?.isPending) log.lastElementChild?.replaceWith(turnElement(turn));
      if (isAtEnd) log.scrollTop = log.scrollHeight;
    });
  }
}

/** An answer with calls that got no results cannot stand in a conversation: it goes. */
function withoutOpenCalls(turns) {
  const at = turns.findLastIndex(({ role }) => role === "assistant");
  return turns.slice(0, at);
}

function welcome(send) {
  if (session.status.models.length === 0) return emptyState({ symbol: "model", title: t("models.none"), text: t("models.none_text") });
  const ideas = ["playground.idea_1", "playground.idea_2", "playground.idea_3"].map((key) => button(t(key), { kind: "idea", onclick: () => send(t(key)) }));
  return emptyState({ symbol: "playground", title: t("playground.welcome"), text: t("playground.welcome_text"), action: h("div.ideas", ideas) });
}

function showCode() {
  let body;
  try {
    body = requestBody(state, true);
  } catch (error) {
    toastError(error);
    return;
  }
  if (body.messages.every(({ role }) => role === "system")) body.messages.push({ role: "user", content: t("overview.example_question") });
  // Usage in a stream is for this page; the examples read without it.
  delete body.stream_options;
  void openDialog({ title: t("playground.code_title"), lead: t("playground.code_lead"), kind: "broad", content: codeTabs(chatSnippets({ base: baseUrl(), key: session.ownKey, body }), t("playground.code_title")) });
}
