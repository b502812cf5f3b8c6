// What a model thinks before it answers: in a field of its own, or in the text between <think> and
// </think>. inference/reasoning.py parts a stored text by the same rule.
import { element, icon, say } from "./page.js";
import { Growing } from "./markdown.js";

const OPENS = "<think>";
const CLOSES = "</think>";

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
  #text = element("div", { class: "markdown reasoning-text" });
  #growing = new Growing(this.#text);
  #chosen = false;
  #answer;

  // `answer` is the element that it stands before, once there is some.
  constructor(answer) {
    this.#answer = answer;
    const summary = element("summary", {}, icon("chevron", "chevron"), this.#label);
    summary.addEventListener("click", () => (this.#chosen = true));
    this.node = element("details", { class: "reasoning" }, summary, this.#text);
  }

  show(text, { thinking, final }) {
    if (!text) return this.node.remove();
    if (!this.node.parentNode) this.#answer.before(this.node);
    this.node.classList.toggle("is-thinking", thinking);
    this.#label.textContent = say(thinking ? "thinking" : "reasoning");
    if (!this.#chosen) this.node.open = thinking;
    if (final) this.#growing.finish(text);
    else this.#growing.show(text);
  }
}
