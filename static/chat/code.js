// Code blocks: a bar with language and copy button, colours by highlight.js.
import hljs from "../vendor/highlight-11.12.0/highlight.min.js";
import { copyButton } from "./copying.js";
import { element, say } from "./page.js";

const LIVE_LIMIT = 4000; // characters that are coloured anew for every piece that comes

export function dressCode(pre, streaming) {
  const code = pre.querySelector("code");
  const text = code.textContent;
  const language = pre.dataset.language || "";
  if (hljs.getLanguage(language) && !(streaming && text.length > LIVE_LIMIT)) {
    code.innerHTML = hljs.highlight(text, { language, ignoreIllegals: true }).value;
  }
  const frame = element("div", { class: "code" });
  const bar = element("div", { class: "code-bar" }, element("span", {}, language));
  if (!streaming) bar.append(copyButton(say("copy_code"), () => text));
  pre.setAttribute("tabindex", "0");
  pre.replaceWith(frame);
  frame.append(bar, pre);
}
