// Messages that wait for the answer before them: shown above the text field, sent one by one.
import { keepQueue, queueOf } from "./drafts.js";
import { at, element, icon, say } from "./page.js";

export class WaitingMessages extends EventTarget {
  #conversation = null;
  #items = [];
  #temporary = false;
  #list = at("#queue");

  /** Shows what waits in a conversation, but for what has arrived; null is one not begun: what waits may be for another. */
  open(conversation, turns) {
    const arrived = new Set(turns.map(({ id }) => id));
    this.#conversation = conversation;
    this.#items = queueOf(conversation).filter(({ message }) => !arrived.has(message));
    if (conversation) this.#changed();
    else this.hold();
  }

  /** The conversation has begun: what waits is for it. */
  begun(conversation) {
    keepQueue(null, []);
    this.#conversation = conversation;
    this.#changed();
  }

  /** Whether the conversation is temporary: then nothing of it is kept. */
  set temporary(temporary) {
    this.#temporary = temporary;
    this.#keep();
  }

  add(item, { first = false } = {}) {
    if (first) this.#items.unshift(item);
    else this.#items.push(item);
    this.#changed();
  }

  /** Takes the next one that is to be sent. */
  next() {
    if (!this.#items.length || this.#items[0].held) return null;
    const item = this.#items.shift();
    this.#changed();
    return item;
  }

  /** Nothing is sent by itself any more: the person decides. */
  hold() {
    for (const item of this.#items) item.held = true;
    this.#changed();
  }

  #changed() {
    this.#keep();
    this.#draw();
  }

  #keep() {
    keepQueue(this.#conversation, this.#temporary ? [] : this.#items);
  }

  #draw() {
    this.#list.hidden = !this.#items.length;
    this.#list.replaceChildren(...this.#items.map((item) => this.#row(item)));
  }

  #row(item) {
    const buttons = [
      this.#button("pencil", say("edit"), () => this.#take(item, "edit")),
      this.#button("trash", say("remove"), () => this.#take(item)),
    ];
    if (item.held) buttons.unshift(this.#button("arrow-up", say("send_now"), () => this.#take(item, "send")));
    return element(
      "li",
      { class: "queued" },
      element("span", { class: "badge" }, say(item.held ? "held" : "queued")),
      element("span", { class: "queued-text" }, item.text || item.attachments.map(({ name }) => name).join(", ")),
      ...buttons,
    );
  }

  #button(symbol, name, run) {
    const button = element("button", { type: "button", class: "copy", "aria-label": name, title: name }, icon(symbol));
    button.addEventListener("click", run);
    return button;
  }

  #take(item, type = "") {
    this.#items = this.#items.filter((other) => other !== item);
    if (type === "send") for (const other of this.#items) other.held = false;
    this.#changed();
    if (type) this.dispatchEvent(new CustomEvent(type, { detail: item }));
  }
}
