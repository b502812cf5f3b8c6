// What a model thinks before it answers: in a field of its own, or in the text between <think> and
// </think>. inference/reasoning.py parts a stored text by the same rule.
import { element, icon, say } from "./page.js";
import { Growing } from "./markdown.js";

const OPENS = "<think>";
const CLOSES = "</think>";
const NEAR = 40; // pixels from its end: the reader has not scrolled up

export function parted(text, reasoning) {
  if (reasoning) return { text, reasoning };
  const said = text.trimStart();
  if (said.startsWith(OPENS)) {
    const [thought, ...answer] = said.slice(OPENS.length).split(CLOSES);
    return { text: answer.join(CLOSES).trimStart(), reasoning: thought.trim() };
  }
  if (said && OPENS.startsWith(said)) return { text: "", reasoning: "" }; // perhaps it begins just now
  // Where the chat template has opened it, the answer only closes it, on a line of its own.
  const at = `\n${text}`.indexOf(`\n${CLOSES}`);
  if (at < 0 || text.slice(0, at).includes(OPENS)) return { text, reasoning: "" };
  return { text: text.slice(at + CLOSES.length).trimStart(), reasoning: text.slice(0, at).trim() };
}

// Open while the model thinks, folded once it answers; the reader's own choice outranks that.
export class Reasoning {
  #label = element("span");
  #text = element("div", {
    class: "markdown reasoning-text",
    role: "group",
    tabindex: "0",
    "aria-label": say("reasoning"),
  });
  #growing = new Growing(this.#text);
  #chosen = false;
  #began = 0;
  #seconds = 0; // as this page has seen them; the platform's figures outrank that
  #answer;

  // `answer` is the element that it stands before, once there is some.
  constructor(answer) {
    this.#answer = answer;
    const summary = element("summary", {}, icon("chevron", "chevron"), this.#label);
    summary.addEventListener("click", () => (this.#chosen = true));
    this.node = element("details", { class: "reasoning" }, summary, this.#text);
  }

  show(text, { thinking, final, figures = null }) {
    if (!text) return this.node.remove();
    if (!this.node.parentNode) this.#answer.before(this.node);
    this.node.classList.toggle("is-thinking", thinking);
    this.#clock(thinking);
    this.#label.textContent = this.#words(thinking, figures);
    if (!this.#chosen) this.node.open = thinking;
    const { scrollTop, scrollHeight, clientHeight } = this.#text;
    const sticks = scrollHeight - scrollTop - clientHeight < NEAR;
    if (final) this.#growing.finish(text);
    else this.#growing.show(text);
    if (thinking && sticks) this.#text.scrollTop = this.#text.scrollHeight;
  }

  #clock(thinking) {
    if (!thinking) return;
    this.#began ||= performance.now();
    this.#seconds = Math.round((performance.now() - this.#began) / 1000);
  }

  #words(thinking, figures) {
    const seconds = Math.round((figures?.reasoning_ms ?? 0) / 1000) || this.#seconds;
    const parts = [say(thinking ? "thinking" : "reasoning")];
    if (seconds) parts.push(say("seconds", { n: seconds }));
    if (figures?.reasoning_tokens) parts.push(say("reasoning_tokens", { n: figures.reasoning_tokens }));
    return parts.join(" · ");
  }
}
