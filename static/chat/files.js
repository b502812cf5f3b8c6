// How files look: those of a question that was sent, and their figures.
import { data, element, icon, say } from "./page.js";

const number = (value) => value.toLocaleString(data.language);

export function fileIcon(kind) {
  return icon(kind === "image" ? "photo" : "file");
}

/** Pages and tokens of a file. @param {{kind: string, size: number, pages: number, tokens: number}} attached */
export function details({ pages, tokens }) {
  const parts = [say("about_tokens", { n: number(tokens) })];
  if (pages) parts.unshift(say("pages", { n: number(pages) }));
  return parts.join(" · ");
}

/** The files of a question: each leads to what the model got of it. Null if there are none. */
export function attachedChips(list = []) {
  if (!list.length) return null;
  return element("ul", { class: "files question-files", "aria-label": say("files") }, ...list.map(chip));
}

function chip(attached) {
  const link = { href: attached.url, target: "_blank", rel: "noopener", class: "file-link" };
  const name = element("span", { class: "file-name" }, attached.name || say("file_erased"));
  const text = element("span", { class: "file-text" }, name, element("small", {}, details(attached)));
  const shown =
    attached.kind === "image"
      ? element("img", { src: attached.url, alt: "", loading: "lazy", width: 40, height: 40 })
      : fileIcon(attached.kind);
  return element("li", { class: "file" }, element("a", link, shown, text));
}
