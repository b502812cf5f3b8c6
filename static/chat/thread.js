// The messages of the open conversation, in order; scrolls along unless the reader scrolled up.
import { Answer } from "./answer.js";
import { attachedChips } from "./files.js";
import { at, element, say } from "./page.js";

const NEAR = 60; // pixels from the end that still count as the end

export class Thread {
  #turns = new Map(); // id -> Answer, or null for a question
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
    for (const id of this.#turns.keys()) if (!ids.has(id)) this.remove(id);
    for (const turn of turns) {
      const answer = this.#turns.get(turn.id);
      if (answer === undefined) this.add(turn);
      else if (answer?.streaming && !turn.streaming) {
        answer.replace(turn);
        answer.end(turn);
      }
    }
  }

  add(turn) {
    if (this.#turns.has(turn.id)) return;
    at("#welcome").hidden = true;
    const answer =
      turn.author === "assistant" ? new Answer(turn, () => this.#along()) : null;
    this.#turns.set(turn.id, answer);
    this.#list.append(answer ? answer.node : question(turn));
    this.#along();
  }

  remove(id) {
    this.#turns.delete(id);
    this.#list.querySelector(`[data-message="${id}"]`)?.remove();
    at("#welcome").hidden = this.#turns.size > 0;
  }

  answer(id) {
    return this.#turns.get(id) ?? null;
  }

  streaming() {
    return [...this.#turns.values()].filter((answer) => answer?.streaming && !answer.unconfirmed);
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
  const text = element("div", { class: "question-text" }, turn.text);
  if (turn.error) text.replaceChildren(element("em", {}, turn.error.text));
  return element(
    "article",
    { class: "turn question", "data-message": turn.id, "aria-label": say("you") },
    ...[attachedChips(turn.attachments)].filter(Boolean),
    text,
  );
}
