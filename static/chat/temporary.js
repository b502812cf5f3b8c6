// Temporary chats: the switch before the first message, and their end when the person leaves.
import { at, csrf, data } from "./page.js";

const box = at("#temporary");

export const wanted = () => data.temporary === "always" || box.checked;

export const is = (conversation) => (conversation ? conversation.temporary : wanted());

// Shows the switch only where a chat begins, and the note while one is temporary.
export function show(conversation) {
  at("#temporary-choice").hidden = Boolean(conversation) || data.temporary !== "allowed";
  if (conversation) box.checked = false;
  note(is(conversation));
}

function note(temporary) {
  at("#temporary-note").hidden = !temporary;
}

box.addEventListener("change", () => note(wanted()));

// Deletes the chat, also while the page is being closed.
export function end(conversation) {
  if (!conversation?.temporary) return;
  fetch(`${conversation.url}deletion/`, { method: "POST", keepalive: true, headers: { "X-CSRFToken": csrf } });
}
