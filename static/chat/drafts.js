// Unsent texts. A draft outlives a reload of its conversation; what waits to be sent outlives it in
// its own tab. console.js removes both at sign-out, by the prefix of their names.
import { data } from "./page.js";

let isOver = false;
document.addEventListener("submit", ({ target }) => {
  if (target.matches("[data-sign-out]")) isOver = true; // the page that goes writes none of them back
});

const DRAFT = `chat-draft:${data.me}:`;
const QUEUE = `chat-queue:${data.me}:`;

export const draftOf = (conversation) => localStorage.getItem(DRAFT + (conversation ?? "")) ?? "";

export function keepDraft(conversation, text) {
  keep(localStorage, DRAFT + (conversation ?? ""), text);
}

export function queueOf(conversation) {
  return JSON.parse(sessionStorage.getItem(QUEUE + (conversation ?? "")) ?? "[]");
}

export function keepQueue(conversation, items) {
  keep(sessionStorage, QUEUE + (conversation ?? ""), items.length ? JSON.stringify(items) : "");
}

function keep(storage, name, text) {
  try {
    if (text && !isOver) storage.setItem(name, text);
    else storage.removeItem(name);
  } catch {
    // The storage is full, or switched off: the page has the text itself.
  }
}
