// Tells screen readers of an answer, a sentence at a time: the text itself changes far too often.
import { at } from "./page.js";

const ENDS = /[.!?…][)"'”’]?(?=\s)|[。！？；]|\n/g;
const PAUSE_MS = 1500;
const SIGNS = /[*_`#>|~]+|\$\$|\\[[\]()]/g;

export class Announcer {
  #said = 0;
  #timer = 0;
  #text = "";
  #over = false;

  /** The answer's text as far as it goes. */
  grow(text) {
    this.#text = text;
    if (!this.#timer && !this.#over) this.#timer = setTimeout(() => this.#sentences(), PAUSE_MS);
  }

  /** The rest, and how it ended. */
  end(text, note = "") {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    announce(`${text.slice(this.#said)} ${note}`);
  }

  #sentences() {
    this.#timer = 0;
    const fresh = this.#text.slice(this.#said);
    const end = [...fresh.matchAll(ENDS)].at(-1);
    if (!end) return;
    const length = end.index + end[0].length;
    this.#said += length;
    announce(fresh.slice(0, length));
  }
}

/** Adds a line to the live region, which keeps the last few. */
export function announce(text) {
  const plain = text.replace(SIGNS, "").trim();
  const region = at("#announcer");
  if (!plain || region.lastElementChild?.textContent === plain) return;
  const line = document.createElement("p");
  line.textContent = plain;
  region.append(line);
  while (region.childElementCount > 5) region.firstElementChild.remove();
}
