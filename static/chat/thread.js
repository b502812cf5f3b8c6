// The messages of the open conversation, in order; scrolls along unless the reader scrolled up.
import { questionActions } from "./actions.js";
import { Answer } from "./answer.js";
import { attachedChips } from "./files.js";
import { at, element, say } from "./page.js";

const NEAR = 60; // pixels from the end that still count as the end

export class Thread {
  #turns = new Map(); // id -> { turn, answer, node }; a question has no answer
  #sticks = true;
  #scroller = at("#thread");
  #list = at("#turns");
  #toEnd = at("#to-end");

  constructor() {
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#toEnd.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.#along()).observe(this.#scroller);
  }

  show(turns) {
    this.#turns.clear();
    this.#list.replaceChildren();
    for (const turn of turns) this.add(turn);
    at("#welcome").hidden = this.#sticks = turns.length > 0;
    if (this.#sticks) this.#along();
    else this.#scroller.scrollTop = 0; // the greeting begins at its beginning
  }

  // Brings the page up to date with the record, without touching what it already has.
  merge(turns) {
    const ids = new Set(turns.map((turn) => turn.id));
    for (const id of [...this.#turns.keys()]) if (!ids.has(id)) this.remove(id);
    for (const turn of turns) {
      const known = this.#turns.get(turn.id);
      if (known === undefined) this.add(turn);
      else this.#update(known, turn);
    }
  }

  #update({ answer, turn: before }, turn) {
    if (answer?.streaming && !turn.streaming) {
      answer.replace(turn);
      answer.end(turn);
    }
    if (String(before.siblings ?? "") === String(turn.siblings ?? "")) return;
    if (answer) answer.place(turn);
    else this.confirm(turn);
  }

  // The platform's turn stands in for the page's own, at the same place.
  confirm(turn) {
    const known = this.#turns.get(turn.id);
    if (!known) return this.add(turn);
    const node = question(turn);
    known.node.replaceWith(node);
    this.#turns.set(turn.id, { turn, answer: null, node });
  }

  // Takes this turn and all after it away; `after` keeps the turn itself.
  cut(id, { after = false } = {}) {
    const ids = [...this.#turns.keys()];
    const from = ids.indexOf(id) + (after ? 1 : 0);
    if (ids.includes(id)) for (const later of ids.slice(from)) this.remove(later);
  }

  add(turn) {
    if (this.#turns.has(turn.id)) return;
    at("#welcome").hidden = true;
    const answer =
      turn.author === "assistant" ? new Answer(turn, () => this.#along()) : null;
    const node = answer ? answer.node : question(turn);
    this.#turns.set(turn.id, { turn: answer?.turn ?? turn, answer, node });
    this.#list.append(node);
    this.#along();
  }

  remove(id) {
    this.#turns.get(id)?.node.remove();
    this.#turns.delete(id);
    at("#welcome").hidden = this.#turns.size > 0;
  }

  answer(id) {
    return this.#turns.get(id)?.answer ?? null;
  }

  turns() {
    return [...this.#turns.values()].map(({ turn }) => turn);
  }

  node(id) {
    return this.#turns.get(id)?.node ?? null;
  }

  // The question itself, or the one before an answer.
  questionOf(id) {
    const turns = this.turns();
    const at = turns.findIndex((turn) => turn.id === id);
    return turns.slice(0, at + 1).findLast(({ author }) => author === "user") ?? null;
  }

  streaming() {
    const answers = [...this.#turns.values()].map(({ answer }) => answer);
    return answers.filter((answer) => answer?.streaming && !answer.unconfirmed);
  }

  toEnd() {
    this.#sticks = true;
    this.#along();
  }

  #along() {
    if (this.#sticks) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#offerEnd();
  }

  #fromEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #scrolled() {
    this.#sticks = this.#fromEnd() < NEAR;
    this.#offerEnd();
  }

  #offerEnd() {
    this.#toEnd.hidden = this.#sticks || this.#fromEnd() < NEAR;
  }
}

function question(turn) {
  const text = element("div", { class: "question-text", hidden: !turn.text && !turn.error }, turn.text);
  if (turn.error) text.replaceChildren(element("em", {}, turn.error.text));
  return element(
    "article",
    { class: "turn question", "data-message": turn.id, "aria-label": say("you") },
    ...[attachedChips(turn.attachments)].filter(Boolean),
    text,
    ...(turn.error || turn.unconfirmed ? [] : [questionActions(turn)]),
  );
}
