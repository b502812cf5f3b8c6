// What can be done with a message: the row of buttons under it. Each dispatches "act" on its message.
import { copyButton } from "./copying.js";
import { data, element, icon, say } from "./page.js";

const CUT_OFF = ["length", "cancelled", "error"];

/** A button that dispatches the act; `words` shows its name beside the symbol. */
export function actButton(act, symbol, name, { words = false, ...detail } = {}) {
  const button = element(
    "button",
    { type: "button", class: words ? "btn btn-sm" : "copy", "data-do": act, "aria-label": name, title: name },
    icon(symbol, words ? "me-1" : ""),
    ...(words ? [name] : []),
  );
  button.addEventListener("click", () => dispatch(button, { act, ...detail }));
  return button;
}

function dispatch(node, detail) {
  node.dispatchEvent(new CustomEvent("act", { bubbles: true, detail }));
}

/** "‹ 2/3 ›": the other messages in the same place. */
export function arrows({ siblings = [], sibling }) {
  if (siblings.length < 2) return [];
  const at = siblings.indexOf(sibling);
  const step = (arrow, symbol, other) => {
    const button = actButton("choose", symbol, say(arrow), { arrow, sibling: siblings[other] });
    button.dataset.arrow = arrow;
    button.disabled = !siblings[other];
    return button;
  };
  const place = say("of_siblings", { n: at + 1, all: siblings.length });
  return [
    element(
      "span",
      { class: "siblings", role: "group", "aria-label": place },
      step("previous", "chevron-left", at - 1),
      element("span", { "aria-hidden": "true" }, `${at + 1}/${siblings.length}`),
      step("next", "chevron", at + 1),
    ),
  ];
}

export function questionActions(turn) {
  return element(
    "div",
    { class: "turn-actions" },
    ...arrows(turn),
    copyButton(say("copy_question"), () => turn.text),
    actButton("edit", "pencil", say("edit"), { message: turn.id }),
  );
}

/** The row under a finished answer. */
export function answerActions(turn, text) {
  const failed = Boolean(turn.error);
  const buttons = [...arrows(turn)];
  if (text) buttons.push(copyButton(say("copy_answer"), () => text));
  if (!failed) buttons.push(actButton("again", "refresh", say("again"), { message: turn.id }));
  if (!failed) buttons.push(...withAnotherModel(turn));
  if (text && !failed) buttons.push(actButton("fork", "fork", say("fork"), { message: turn.id }));
  return buttons;
}

/** What leads on where an answer ended too early: no failed question is a dead end. */
export function wayOut(turn, text) {
  const message = turn.id;
  const buttons = [];
  if (text && CUT_OFF.includes(turn.finish_reason) && turn.error?.code !== "erased") {
    buttons.push(actButton("continue", "player-play", say("continue"), { words: true, message }));
  }
  if (turn.error && turn.error.code !== "erased") {
    const retry = turn.before && !text ? "continue" : "again";
    buttons.push(
      actButton(retry, "refresh", say("try_again"), { words: true, message }),
      actButton("edit", "pencil", say("edit_question"), { words: true, message }),
      actButton("copy", "copy", say("copy_question"), { words: true, message }),
      ...withAnotherModel(turn, { words: true }),
    );
  }
  return buttons.length ? [element("div", { class: "way-out" }, ...buttons)] : [];
}

function withAnotherModel(turn, { words = false } = {}) {
  if (data.models.length < 2) return [];
  const toggle = element(
    "button",
    {
      type: "button",
      class: words ? "btn btn-sm dropdown-toggle" : "copy",
      "data-bs-toggle": "dropdown",
      "aria-expanded": "false",
      "aria-label": say("another_model"),
      title: say("another_model"),
    },
    icon("switch", words ? "me-1" : ""),
    ...(words ? [say("another_model")] : []),
  );
  const items = data.models.map((model) => modelItem(turn, model));
  return [element("div", { class: "dropdown" }, toggle, element("div", { class: "dropdown-menu" }, ...items))];
}

function modelItem(turn, model) {
  const item = element("button", { type: "button", class: "dropdown-item" }, model);
  item.addEventListener("click", () => dispatch(item, { act: "again", message: turn.id, model }));
  return item;
}
