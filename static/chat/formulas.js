// Formulas: $$…$$, \(…\) and \[…\]. A single dollar stays a price.
const KATEX = new URL("../vendor/katex-0.19.1/", import.meta.url);
const BLOCK = /^(?:\$\$((?:(?!\$\$)[\s\S])+)\$\$|\\\[((?:(?!\\\])[\s\S])+)\\\])[^\S\n]*(?:\n|$)/;
const INLINE = /^(?:\$\$((?:(?!\n\n)[\s\S])+?)\$\$|\\\[((?:(?!\n\n)[\s\S])+?)\\\]|\\\(((?:(?!\n\n)[\s\S])+?)\\\))/;
// A block begins its line: marked would cut a paragraph in two at one in mid-sentence.
const BLOCK_START = /\n(?=\$\$|\\\[)/;
const INLINE_START = /\$\$|\\\[|\\\(/;
let loading = null;

const escaped = (text) => text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);

function extension(name, level, start, rule, tag) {
  return {
    name,
    level,
    start: (source) => {
      const match = start.exec(source);
      return match ? match.index + (level === "block" ? 1 : 0) : undefined;
    },
    tokenizer(source) {
      const match = rule.exec(source);
      if (!match) return undefined;
      const display = match[1] ?? match[2];
      const tex = (display ?? match[3]).trim();
      return { type: name, raw: match[0], tex, display: display !== undefined };
    },
    renderer: ({ tex, display }) =>
      `<${tag} data-formula="${display ? "display" : "inline"}">${escaped(tex)}</${tag}>`,
  };
}

export const formulas = {
  extensions: [
    extension("formulaBlock", "block", BLOCK_START, BLOCK, "div"),
    extension("formula", "inline", INLINE_START, INLINE, "span"),
  ],
};

export function typeset(root) {
  const found = root.querySelectorAll("[data-formula]");
  if (!found.length) return;
  if (self.katex) found.forEach(set);
  else load().then(() => found.forEach(set));
}

function load() {
  loading ??= import("../vendor/katex-0.19.1/katex.min.js").then(() => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL("katex.min.css", KATEX);
    document.head.append(sheet);
  });
  return loading;
}

function set(place) {
  const tex = place.textContent;
  try {
    self.katex.render(tex, place, {
      displayMode: place.dataset.formula === "display",
      throwOnError: true,
      trust: false,
      strict: "ignore",
      maxSize: 20,
      maxExpand: 200,
    });
  } catch {
    place.replaceChildren(tex); // no formula, or one that KaTeX does not know
    place.classList.add("formula-raw");
  }
}
