// Formulas: $$…$$, \(…\) and \[…\]. A single dollar stays a price.
const KATEX = new URL("../vendor/katex-0.19.1/", import.meta.url);
const BLOCK = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[^\S\n]*(?:\n|$)/;
const INLINE = /^(?:\$\$((?:(?!\n\n)[\s\S])+?)\$\$|\\\[((?:(?!\n\n)[\s\S])+?)\\\]|\\\(((?:(?!\n\n)[\s\S])+?)\\\))/;
let loading = null;

const escaped = (text) => text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);

function extension(name, level, rule, tag) {
  return {
    name,
    level,
    start: (source) => {
      const found = source.search(/\$\$|\\\[|\\\(/);
      return found < 0 ? undefined : found;
    },
    tokenizer(source) {
      const found = rule.exec(source);
      if (!found) return undefined;
      const display = found[1] ?? found[2];
      const tex = (display ?? found[3]).trim();
      return { type: name, raw: found[0], tex, display: display !== undefined };
    },
    renderer: ({ tex, display }) =>
      `<${tag} data-formula="${display ? "display" : "inline"}">${escaped(tex)}</${tag}>`,
  };
}

export const formulas = {
  extensions: [
    extension("formulaBlock", "block", BLOCK, "div"),
    extension("formula", "inline", INLINE, "span"),
  ],
};

export function typeset(root) {
  const found = root.querySelectorAll("[data-formula]");
  if (!found.length) return;
  if (self.katex) found.forEach(set);
  else load().then(() => found.forEach(set));
}

function load() {
  loading ??= import(new URL("katex.min.js", KATEX)).then(() => {
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
