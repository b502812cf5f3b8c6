// One conversation of the list, with its menu.
import { data, element, icon, say } from "./page.js";

export function item(row, { open, selected }) {
  const title = row.title || say("untitled");
  const here = row.id === open;
  return element(
    "li",
    { class: here ? "chat-item is-open" : "chat-item", "data-id": row.id },
    ...(selected === null ? [] : [checkbox(title, selected)]),
    element("a", { href: row.url, title, "aria-current": here ? "page" : false }, title),
    ...(selected === null ? [menu(row, title)] : []),
  );
}

function checkbox(title, checked) {
  const label = say("select_one", { title });
  return element("input", { type: "checkbox", class: "form-check-input", "aria-label": label, checked });
}

function menu(row, title) {
  const acts = [
    act(row.pinned ? "unpin" : "pin", row.pinned ? "pinned-off" : "pin"),
    act("rename", "pencil"),
    act("move", "folder"),
    ...(data.audiences.length ? [act("share", "share")] : []),
    ...["markdown", "json", "pdf"].map((form) => download(row, form)),
    act(row.archived ? "unarchive" : "archive", row.archived ? "archive-off" : "archive"),
    act("delete", "trash", "text-danger"),
  ];
  const button = element(
    "button",
    {
      type: "button",
      class: "chat-item-more",
      "data-bs-toggle": "dropdown",
      "data-bs-popper-config": '{"strategy":"fixed"}',
      "aria-expanded": "false",
      "aria-label": `${say("actions")}: ${title}`,
    },
    icon("dots"),
  );
  const list = element("div", { class: "dropdown-menu dropdown-menu-end" }, ...acts);
  return element("div", { class: "dropdown" }, button, list);
}

function download(row, form) {
  const href = `${row.url}export/?form=${form}${form === "json" ? "&branches=all" : ""}`;
  return element(
    "a",
    { class: "dropdown-item", href, download: true, "data-download": true },
    icon("download", "dropdown-item-icon"),
    say("export_as", { form: form === "markdown" ? "Markdown" : form.toUpperCase() }),
  );
}

function act(name, symbol, classes = "") {
  return element(
    "button",
    { type: "button", class: `dropdown-item ${classes}`, "data-act": name },
    icon(symbol, "dropdown-item-icon"),
    say(name),
  );
}
