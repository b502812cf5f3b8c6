// What the buttons under a message do (actions.js).
import { uuid } from "../console/uuid.js";
import { announce } from "./announcer.js";
import { copied } from "./copying.js";
import * as notices from "./notices.js";
import { at, say } from "./page.js";
import { posted } from "./requests.js";

/** @param page the parts and functions of chat.js that acts need */
export function listen(page) {
  const acts = new Acts(page);
  at("#turns").addEventListener("act", ({ detail: { act, ...detail } }) => acts[act](detail));
}

class Acts {
  #forking = false;

  constructor(page) {
    this.page = page;
  }

  // Another answer to the same question.
  again({ message, model = this.page.composer.model }) {
    this.#request({ answer: message, model, continues: false });
  }

  // More of this answer.
  continue({ message }) {
    this.#request({ answer: message, model: this.page.composer.model, continues: true });
  }

  #request(wish) {
    if (!this.#isBusy()) this.page.request({ type: "again", message: uuid(), ...wish });
  }

  async edit({ message }) {
    const { edit } = await import("./editing.js"); // of which a first visit has none
    const { thread, composer, ask } = this.page;
    const question = thread.questionOf(message);
    edit(thread.node(question.id), question.text, (text) => {
      if (!this.#isBusy()) ask({ text, model: composer.model, edits: question.id, attachments: question.attachments });
    });
  }

  async copy({ message }) {
    if (await copied(this.page.thread.questionOf(message).text)) announce(say("copied"));
  }

  async fork({ message }) {
    if (this.#forking) return;
    this.#forking = true;
    const copy = await this.#changed("fork", message).finally(() => (this.#forking = false));
    if (!copy) return;
    if (!copy.temporary) this.page.sidebar.put(copy);
    this.page.open(copy.url);
  }

  // Shows another branch, on all pages of this conversation.
  async choose({ sibling, arrow }) {
    if (this.#isBusy()) return;
    const { thread, renewed } = this.page;
    const opened = await renewed(() => this.#changed("branch", sibling));
    if (!opened) return;
    focusArrow(thread.node(opened.messages.find((one) => one.sibling === sibling)?.id), arrow);
  }

  #isBusy() {
    if (!this.page.waiting()) return false;
    notices.notice(say("wait_or_stop"), { untilAnswered: true });
    return true;
  }

  async #changed(what, message) {
    const answer = await posted(`${this.page.view().conversation.url}${what}/`, { message });
    if (answer && !answer.code) return answer;
    notices.notice(answer?.text ?? say("failed"));
    return null;
  }
}

// The keyboard's place: the same arrow again, or the other one at the end.
function focusArrow(node, arrow) {
  const arrows = [...(node?.querySelectorAll('[data-do="choose"]:enabled') ?? [])];
  (arrows.find((one) => one.dataset.arrow === arrow) ?? arrows[0])?.focus();
}
