// The choice of a model: a text field with a list, by the ARIA pattern of a combobox.
import { at, data, element, say } from "./page.js";

/**
 * @typedef {{name: string, behind: string, context: number, tools: boolean | null, images: boolean | null, hosted: boolean,
 *   state: "ready" | "busy" | "down", wait_s: number, price: {prompt: string, completion: string} | null}} ModelChoice
 */

const number = (value) => Number(value).toLocaleString(data.language, { maximumFractionDigits: 4 });

/** What a model can do and what it costs, in one line. @param {ModelChoice} choice */
export function described(choice) {
  const parts = [];
  if (choice.behind) parts.push(say("model_behind", { model: choice.behind }));
  parts.push(say("model_context", { n: number(choice.context) }));
  if (choice.images) parts.push(say("model_images"));
  if (choice.tools) parts.push(say("model_tools"));
  if (choice.hosted) parts.push(say("model_hosted"));
  const { price } = choice;
  const prices = price && { in: number(price.prompt), out: number(price.completion), currency: data.currency };
  parts.push(prices ? say("model_price", prices) : say("model_free"));
  return parts.join(" · ");
}

/** The state of a model; "" while it answers at once. @param {ModelChoice} choice */
function stateOf({ state, wait_s }) {
  if (state === "down") return say("model_down");
  if (state === "busy") return wait_s ? say("model_busy_for", { n: wait_s }) : say("model_busy");
  return "";
}

class ModelPicker {
  #field = at("#model");
  #list = at("#model-list");
  /** @type {ModelChoice[]} */
  #choices = data.model_choices;
  /** @type {ModelChoice[]} */
  #shown = [];
  #active = -1;
  #chosen = "";

  constructor() {
    this.#field.addEventListener("focus", () => {
      this.#chosen = this.#field.value; // comes back if what is typed names no model
      this.#field.select();
    });
    this.#field.addEventListener("click", () => this.#open());
    this.#field.addEventListener("input", () => this.#open(this.#field.value));
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#field.addEventListener("blur", () => this.#close());
    // Not a click: the field would lose the focus, and with it the list.
    this.#list.addEventListener("mousedown", (event) => {
      event.preventDefault();
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(this.#shown[[...this.#list.children].indexOf(option)]);
    });
  }

  get #isOpen() {
    return !this.#list.hidden;
  }

  #open(wanted = "") {
    if (!this.#isOpen) {
      this.#chosen = data.models.includes(this.#field.value) ? this.#field.value : this.#chosen;
      this.#refresh();
    }
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = (choice) => `${choice.name} ${described(choice)}`.toLowerCase();
    this.#shown = this.#choices.filter((choice) => words.every((word) => texts(choice).includes(word)));
    this.#active = wanted ? 0 : this.#shown.findIndex(({ name }) => name === this.#chosen);
    this.#draw();
  }

  #draw() {
    const options = this.#shown.map((choice, place) => this.#option(choice, place));
    const none = element("li", { class: "model-none", role: "presentation" }, say("no_such_model"));
    this.#list.replaceChildren(...(options.length ? options : [none]));
    this.#list.hidden = false;
    this.#field.setAttribute("aria-expanded", "true");
    this.#mark();
  }

  #option(choice, place) {
    const state = stateOf(choice);
    const name = element("span", { class: "model-name" }, choice.name);
    if (state) name.append(element("span", { class: `model-state is-${choice.state}` }, state));
    return element(
      "li",
      { role: "option", id: `model-option-${place}`, class: "model-option", "aria-selected": String(choice.name === this.#chosen) },
      name,
      element("small", {}, described(choice)),
    );
  }

  #mark() {
    const options = [...this.#list.querySelectorAll("[role=option]")];
    for (const [place, option] of options.entries()) option.classList.toggle("is-active", place === this.#active);
    const active = options[this.#active];
    if (active) this.#field.setAttribute("aria-activedescendant", active.id);
    else this.#field.removeAttribute("aria-activedescendant");
    active?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    if (event.isComposing) return;
    const { length } = this.#shown;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!this.#isOpen) return this.#open();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (length) this.#active = (this.#active + step + length) % length;
      return this.#mark();
    }
    if (event.key === "Enter") {
      event.preventDefault(); // else the message would be sent
      if (this.#isOpen && this.#shown[this.#active]) this.#choose(this.#shown[this.#active]);
    }
    if (event.key === "Escape" && this.#isOpen) {
      event.preventDefault(); // else it would stop the answer
      this.#close();
      this.#field.select();
    }
  }

  #choose({ name }) {
    this.#chosen = name;
    this.#close();
    this.#field.dispatchEvent(new Event("change", { bubbles: true }));
  }

  #close() {
    if (!this.#isOpen) return;
    this.#list.hidden = true;
    this.#field.value = this.#chosen;
    this.#field.setAttribute("aria-expanded", "false");
    this.#field.removeAttribute("aria-activedescendant");
  }

  // What is busy or down right now.
  async #refresh() {
    try {
      const answer = await fetch(`${data.model_list}?${new URLSearchParams({ tenant: data.tenant })}`);
      if (!answer.ok) return;
      this.#choices = await answer.json();
      if (this.#isOpen) this.#open(this.#field.value === this.#chosen ? "" : this.#field.value);
    } catch {
      // The list stays as it was.
    }
  }
}

new ModelPicker();
