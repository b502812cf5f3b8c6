// Keys for what people do often. "?" shows them; none works while a text is written.
import { at } from "./page.js";

const OFF = "chat-shortcuts-off"; // single keys may be in the way of speech input (WCAG 2.1.4)
const WRITES = "input, textarea, select, [contenteditable]";

// `acts`: by key, such as "/" or "Shift+O".
export function listen(acts) {
  document.addEventListener("keydown", (event) => {
    if (localStorage.getItem(OFF) || event.defaultPrevented || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const key = named(event);
    if (event.target.closest?.(WRITES) && !key.startsWith("Ctrl+")) return;
    const act = acts[key] ?? (key === "?" ? help : null);
    if (!act) return;
    event.preventDefault();
    act();
  });
  at("#help").addEventListener("click", help);
  const on = at("#shortcuts-on");
  on.checked = !localStorage.getItem(OFF);
  on.addEventListener("change", () => {
    if (on.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "yes");
  });
}

function help() {
  const dialog = at("#shortcuts");
  dialog.querySelector("[data-cancel]").onclick = () => dialog.close();
  dialog.showModal();
}

function named({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  if (altKey) return "";
  const held = ctrlKey || metaKey;
  const shift = shiftKey && key.length > 1;
  return `${held ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${held ? key.toUpperCase() : key}`;
}
