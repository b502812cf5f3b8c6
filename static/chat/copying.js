import { element, icon, say } from "./page.js";

export function copyButton(label, text) {
  const button = element(
    "button",
    { type: "button", class: "copy", "aria-label": label, title: label },
    icon("copy"),
  );
  button.addEventListener("click", async () => {
    if (!(await copied(text()))) return;
    button.replaceChildren(icon("check"), element("span", {}, say("copied")));
    setTimeout(() => button.replaceChildren(icon("copy")), 1600);
  });
  return button;
}

export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedTheOldWay(text); // without https there is no clipboard API
  }
}

function copiedTheOldWay(text) {
  const field = element("textarea", { class: "visually-hidden", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
