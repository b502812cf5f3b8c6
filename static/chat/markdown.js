// Markdown to elements: parsed by marked, sanitised after that, then code and formulas.
import { Marked } from "../vendor/marked-18.2.1/marked.esm.js";
import { blocks } from "./blocks.js";
import "../vendor/dompurify-3.4.18/purify.min.js"; // as a module it would be twice as large
import { dressCode } from "./code.js";
import { formulas, typeset } from "./formulas.js";
import { element, say } from "./page.js";

const { DOMPurify } = self;

const HARMLESS = /^<\/?(br|sub|sup|kbd|b|i|em|strong)\s*\/?>$/i;
const TAGS = (
  "a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i kbd li ol p pre s span strong sub sup " +
  "table tbody td th thead tr ul"
).split(" ");

const escaped = (text) =>
  text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

// Tags of a model's own are shown as text, but for a few that only set type.
const tamed = (text) =>
  text.replace(/<[^<>]*>|[<>&]/g, (tag) => (HARMLESS.test(tag) ? tag : escaped(tag)));

const marked = new Marked({ gfm: true }, formulas, {
  renderer: {
    html: ({ text, block }) => (block ? `<p>${tamed(text)}</p>` : tamed(text)),
    // A picture from elsewhere would tell its host what was asked: shown as a link.
    image: ({ href, text }) =>
      `<a href="${escaped(href)}">${escaped(text || say("image"))}</a>`,
    code: ({ text, lang }) =>
      `<pre data-language="${escaped((lang || "").split(/\s/)[0])}"><code>${escaped(text)}</code></pre>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("rel", "noopener noreferrer nofollow");
  node.setAttribute("target", "_blank");
});

function sanitised(html) {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "title", "start", "align"],
    ADD_URI_SAFE_ATTR: ["start", "align"],
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    ALLOW_DATA_ATTR: true,
    RETURN_DOM_FRAGMENT: true,
  });
}

function dressed(tokens, links, streaming) {
  tokens.links = links;
  const fragment = sanitised(marked.parser(tokens));
  for (const table of fragment.querySelectorAll("table")) {
    table.className = "table table-sm";
    const frame = element("div", { class: "table-frame", tabindex: "0" });
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const pre of fragment.querySelectorAll("pre")) dressCode(pre, streaming);
  const block = element("div", { class: "block" });
  block.append(fragment);
  typeset(block);
  return block;
}

// An answer that grows: finished blocks stay as they are, only the last one is made anew.
export class Growing {
  #settled = 0;
  #last = null;

  constructor(container) {
    this.container = container;
  }

  show(text) {
    const source = text.replaceAll(/\r\n?/g, "\n").slice(this.#settled); // as marked reads it
    const { tokens, count, length } = blocks(source);
    this.#last?.remove();
    if (count) {
      this.container.append(dressed(tokens.slice(0, count), tokens.links, false));
      this.#settled += length;
    }
    this.#last = dressed(tokens.slice(count), tokens.links, true);
    this.container.append(this.#last);
  }

  // Once more as a whole: links that are defined further down find their target now.
  finish(text) {
    this.#settled = 0;
    this.#last = null;
    const tokens = marked.lexer(text);
    this.container.replaceChildren(dressed(tokens, tokens.links, false));
  }
}
