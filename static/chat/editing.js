// A question that is rewritten in its place. Sending makes another branch; the old one stays.
import { data, element, say } from "./page.js";

/** @param {HTMLElement} node the question's element @param {(text: string) => void} send */
export function edit(node, text, send) {
  const body = node.querySelector(".question-text");
  if (node.querySelector("form")) return;
  const hasFiles = Boolean(node.querySelector(".question-files"));
  const field = element("textarea", { class: "form-control", rows: "3", "aria-label": say("edit") });
  field.value = text;
  const form = element(
    "form",
    { class: "question-edit" },
    field,
    element("p", { class: "small text-secondary mb-0" }, say("edit_note")),
    element(
      "div",
      { class: "d-flex gap-2 justify-content-end" },
      button("button", "btn btn-sm", say("cancel"), () => end()),
      button("submit", "btn btn-sm btn-primary", say("send")),
    ),
  );
  const end = () => {
    form.remove();
    body.hidden = !text;
    node.querySelector('[data-do="edit"]')?.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const changed = field.value.trim();
    if ((!changed && !hasFiles) || changed.length > data.max_text) return field.focus();
    end();
    send(changed);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault(); // it stops no answer
      end();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  body.hidden = true;
  body.after(form);
  field.focus();
}

function button(type, classes, text, run) {
  const made = element("button", { type, class: classes }, text);
  if (run) made.addEventListener("click", run);
  return made;
}
