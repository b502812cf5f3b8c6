// A person's opinion of an answer: thumbs, and a reason if they like.
import { answered } from "./dialogs.js";
import { at, element, icon, say } from "./page.js";
import { posted } from "./requests.js";

export function ratingButtons(answer) {
  const buttons = [button("good", "thumb-up", 1), button("bad", "thumb-down", -1)];
  const show = (rating) => {
    for (const each of buttons) each.setAttribute("aria-pressed", String(Number(each.value) === rating));
  };
  show(answer.rating);
  for (const each of buttons) each.addEventListener("click", () => rate(answer, Number(each.value), show));
  return buttons;
}

async function rate(answer, value, show) {
  const rating = answer.rating === value ? 0 : value;
  const reason = rating ? await reasonFor(rating) : "";
  if (reason === null) return;
  const url = `${location.pathname}messages/${answer.id}/rating/`;
  const rated = await posted(url, { rating: rating || "", reason });
  if (rated?.rating !== undefined) show((answer.rating = rated.rating));
}

// Resolves to the reason, which may be empty, or to null where the person thinks better of it.
async function reasonFor(rating) {
  const dialog = at("#rate");
  dialog.querySelector("h2").textContent = say(rating > 0 ? "why_good" : "why_bad");
  const field = dialog.querySelector("textarea");
  field.value = "";
  return (await answered(dialog)) ? field.value : null;
}

function button(name, symbol, value) {
  const label = say(name);
  return element(
    "button",
    { type: "button", class: "copy thumb", value: String(value), "aria-label": label, title: label },
    icon(symbol),
  );
}
