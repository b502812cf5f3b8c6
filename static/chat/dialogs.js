// Questions that a person answers in a dialog.
import { at, say } from "./page.js";

// Resolves to whether the person said yes.
export function answered(dialog) {
  dialog.returnValue = "";
  dialog.querySelector("[data-cancel]").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// Resolves to the name, or to null.
export async function named(title, value, action) {
  const dialog = at("#rename");
  const field = dialog.querySelector("input");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("[value=yes]").textContent = action;
  field.value = value;
  return (await answered(dialog)) ? field.value : null;
}

export function confirmed(question, action = say("delete")) {
  const dialog = at("#delete");
  dialog.querySelector("[data-question]").textContent = question;
  dialog.querySelector("[value=yes]").textContent = action;
  return answered(dialog);
}
