// Searches the person's conversations while they write, and shows the places.
import { at, data, element, say } from "./page.js";
import { posted } from "./requests.js";

const PAUSE_MS = 250;

export class Search extends EventTarget {
  #field = at("#search");
  #results = at("#results");
  #timer = 0;
  #words = "";

  constructor() {
    super();
    this.#field.addEventListener("input", () => this.#soon());
    this.#field.addEventListener("keydown", (event) => event.key === "Escape" && this.#clear(event));
    this.#results.addEventListener("click", (event) => this.#clicked(event));
  }

  focus() {
    this.#field.focus();
    this.#field.select();
  }

  #clear(event) {
    event.preventDefault();
    this.#field.value = "";
    this.#soon();
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#words = this.#field.value.trim();
    at("#shelves").hidden = this.#words.length > 1;
    this.#results.hidden = this.#words.length < 2;
    if (this.#results.hidden) return this.#results.replaceChildren();
    this.#timer = setTimeout(() => this.#search(), PAUSE_MS);
  }

  // `after`: the time from which an earlier search goes on.
  async #search(after = null) {
    const words = this.#words;
    const fields = { tenant: data.tenant, words, ...(after && { before: after }) };
    const page = await posted(data.search, fields);
    if (words !== this.#words) return; // they have gone on writing
    if (!after) this.#results.replaceChildren();
    this.#results.querySelector("[data-more]")?.remove();
    if (page?.hits) this.#draw(page);
    else this.#note(page?.text ?? say("failed"));
  }

  #draw({ hits, next }) {
    this.#results.append(...hits.map(hit));
    if (next) this.#results.append(more(next, () => this.#search(next)));
    else if (!this.#results.childElementCount) this.#note(say("nothing_matches"));
  }

  #note(text) {
    this.#results.append(element("p", { class: "small text-secondary px-2", role: "status" }, text));
  }

  #clicked(event) {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.dispatchEvent(new CustomEvent("open", { detail: { url: link.getAttribute("href") } }));
  }
}

function hit({ conversation, excerpt }) {
  const { before, words, after, message } = excerpt;
  const place = element("span", { class: "chat-hit-text" }, `…${before}`, element("mark", {}, words), `${after}…`);
  const called = message ? [conversation.title || say("untitled")] : marked(conversation.title, excerpt);
  const title = element("span", { class: "chat-hit-title" }, ...called);
  return element("a", { class: "chat-hit", href: conversation.url }, title, ...(message ? [place] : []));
}

// A title with the words in it that were found there.
function marked(title, { before, words }) {
  const start = title.indexOf(before + words);
  if (start < 0) return [title];
  const from = start + before.length;
  const end = from + words.length;
  return [title.slice(0, from), element("mark", {}, words), title.slice(end)];
}

function more(next, run) {
  const text = say("search_further", { day: new Date(next).toLocaleDateString(document.documentElement.lang) });
  const button = element("button", { type: "button", class: "btn btn-sm w-100", "data-more": true }, text);
  button.addEventListener("click", run, { once: true });
  return button;
}
