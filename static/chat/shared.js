// The page of a frozen copy: draws its messages as the chat does.
import { Growing } from "./markdown.js";
import { at, data, element } from "./page.js";

for (const { author, heading, text } of data.messages) {
  const body = element("div", { class: author === "user" ? "question-text" : "markdown", hidden: !text });
  if (author === "user") body.textContent = text;
  else new Growing(body).finish(text.replaceAll("\r", ""));
  at("#turns").append(element("article", { class: "turn" }, element("h2", {}, heading), body));
}
