// Where a message is written: Enter sends, Shift+Enter breaks the line, Esc stops the answer.
import { Attachments } from "./attachments.js";
import { draftOf, keepDraft } from "./drafts.js";
import { at, data, say } from "./page.js";

const LAST_MODEL = "chat-model";

export class Composer extends EventTarget {
  #text = at("#text");
  #model = at("#model");
  #busy = false;
  attachments = new Attachments();
  #conversation = null; // whose draft it is
  #temporary = false;

  constructor() {
    super();
    this.#model.value = this.#usable(localStorage.getItem(LAST_MODEL));
    at("#composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    at("#stop").addEventListener("click", () => this.#tell("stop"));
    this.#text.addEventListener("input", () => this.#changed());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#model.addEventListener("change", () => {
      localStorage.setItem(LAST_MODEL, this.#model.value);
      this.attachments.model = this.#model.value;
      this.#tell("model");
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || !this.#busy) return;
      if (!document.querySelector("dialog[open], .dropdown-menu.show, .offcanvas.show")) this.#tell("stop");
    });
    this.attachments.model = this.#model.value;
    this.attachments.addEventListener("change", () => this.#offer());
  }

  // Whether an answer is being written in the open conversation.
  set busy(busy) {
    const moved = document.activeElement?.closest("#send, #stop");
    this.#busy = busy;
    at("#stop").hidden = !busy;
    this.#offer();
    if (!busy) this.#hint("");
    if (moved) this.focus();
  }

  get model() {
    return this.#model.value;
  }

  // Brings the draft of another conversation; null is one that has not begun.
  open(conversation) {
    this.#conversation = conversation;
    this.#text.value = draftOf(conversation);
    this.#changed();
  }

  // The conversation has begun: what is written meanwhile is its draft.
  begun(conversation) {
    keepDraft(null, "");
    this.#conversation = conversation;
    this.#changed();
  }

  // Whether the conversation is temporary: then it has no draft.
  set temporary(temporary) {
    if (temporary === this.#temporary) return;
    this.#temporary = temporary;
    keepDraft(this.#conversation, temporary ? "" : this.#text.value);
  }

  set model(name) {
    this.#model.value = this.#usable(name);
    this.attachments.model = this.#model.value;
  }

  // Puts a text back that could not be sent; false if there is something newer.
  restore(text) {
    if (this.#text.value.trim()) return false;
    this.fill(text);
    return true;
  }

  // A text that goes out after all; what has been written instead stays.
  takeOut(text) {
    if (this.#text.value.trim() === text) this.fill("");
  }

  fill(text) {
    this.#text.value = text;
    this.#changed();
    this.focus();
  }

  // Not on a touch screen, where the keyboard would cover what there is to read.
  focus() {
    if (matchMedia("(hover: hover)").matches) this.#text.focus({ preventScroll: true });
  }

  #usable(name) {
    return data.models.includes(name) ? name : (data.models[0] ?? "");
  }

  #key(event) {
    // An input method (Chinese, Japanese) takes Enter to choose a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!this.#sendable(text)) return;
    if (this.attachments.busy) return this.#hint(say("files_wait"));
    if (this.attachments.refusal) return this.attachments.remind();
    this.#text.value = "";
    this.#changed();
    const attachments = this.attachments.take();
    this.#tell(this.#busy ? "queue" : "send", { text, model: this.#model.value, attachments });
  }

  // A text, or files alone.
  #sendable(text) {
    return (text || this.attachments.some) && text.length <= data.max_text && data.models.length;
  }

  #changed() {
    const length = this.#text.value.trim().length;
    const over = length > data.max_text;
    this.#offer();
    if (!this.#temporary) keepDraft(this.#conversation, this.#text.value);
    this.#hint(over ? say("too_long", { n: length, max: data.max_text }) : "");
    this.#text.style.height = "auto"; // measured anew: it may have become shorter
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }

  // While an answer is written, a text waits in the queue.
  #offer() {
    const send = at("#send");
    const text = this.#text.value.trim();
    send.disabled = !this.#sendable(text);
    send.hidden = this.#busy && !text && !this.attachments.some;
    const name = say(this.#busy ? "queue" : "send");
    send.setAttribute("aria-label", name);
    send.title = `${name} (Enter)`;
  }

  #hint(text) {
    at("#count").textContent = text;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
