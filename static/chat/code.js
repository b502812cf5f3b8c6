// Code blocks: a bar with language and copy button, colours by highlight.js, which the first one loads.
import { copyButton } from "./copying.js";
import { element, say } from "./page.js";

const LIVE_LIMIT = 4000; // characters that are coloured anew for every piece that comes
let hljs = null;
let loading = null;

export function dressCode(pre, streaming) {
  const code = pre.querySelector("code");
  const text = code.textContent;
  const language = pre.dataset.language || "";
  if (language && !(streaming && text.length > LIVE_LIMIT)) {
    if (hljs) colour(code, text, language);
    else load().then(() => colour(code, text, language));
  }
  const frame = element("div", { class: "code" });
  const bar = element("div", { class: "code-bar" }, element("span", {}, language));
  if (!streaming) bar.append(copyButton(say("copy_code"), () => text));
  pre.setAttribute("tabindex", "0");
  pre.replaceWith(frame);
  frame.append(bar, pre);
}

function load() {
  loading ??= import("../vendor/highlight-11.12.0/highlight.min.js").then((module) => {
    hljs = module.default;
  });
  return loading;
}

function colour(code, text, language) {
  if (hljs.getLanguage(language)) code.innerHTML = hljs.highlight(text, { language, ignoreIllegals: true }).value;
}
