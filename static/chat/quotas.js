// What is left of the person's quotas: the fullest as a chip, all of them in a dialog.
import { answered } from "./dialogs.js";
import { at, data, element, say } from "./page.js";
import { fetched, posted } from "./requests.js";

const chip = at("#quota");
const dialog = at("#quotas");
let quotas = [];
let reads = 0;

export async function refresh(model) {
  const mine = (reads += 1);
  const present = await fetched(data.quotas, { tenant: data.tenant, model });
  if (mine !== reads) return; // a later answer is the one to show
  quotas = present ?? quotas;
  const [fullest] = quotas;
  chip.hidden = !fullest;
  if (!fullest) return;
  chip.textContent = say(`left_${fullest.unit}`, { left: fullest.remaining });
  chip.classList.toggle("is-low", fullest.percent >= 80);
}

export function show() {
  dialog.querySelector("[data-quotas]").replaceChildren(...quotas.map(line));
  answered(dialog);
}

chip.addEventListener("click", show);

function line(quota) {
  const name = say(`quota_of_${quota.whose}`, { model: quota.model });
  const figures = say(`of_${quota.unit}`, { ...quota, left: quota.remaining });
  const bar = element("progress", { class: "w-100", max: 100, value: quota.percent, "aria-label": name });
  const renews = element("div", { class: "small text-secondary" }, renewal(quota.renews_at));
  const title = element("div", {}, element("strong", {}, name), ` · ${say(`per_${quota.window}`)}`);
  return element("li", { class: "mb-3" }, title, element("div", {}, figures), bar, renews, more(quota));
}

// "Renews at 08:00 GMT+8, in 16 hours": by the reader's clock.
export function renewal(moment) {
  const { lang } = document.documentElement;
  const at = new Date(moment);
  const hours = Math.max(1, Math.round((at - Date.now()) / 3600000));
  const relative = new Intl.RelativeTimeFormat(lang, { numeric: "always" });
  const when = hours < 48 ? relative.format(hours, "hour") : relative.format(Math.round(hours / 24), "day");
  const day = hours < 24 ? {} : { day: "numeric", month: "short" };
  const clock = at.toLocaleString(lang, { ...day, hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  return say("renews", { clock, when });
}

function more(quota) {
  if (quota.requested) return element("div", { class: "small" }, say("more_asked"));
  const amount = element("input", { class: "form-control form-control-sm", inputmode: "decimal", required: true, "aria-label": say("how_much_more"), placeholder: say("how_much_more") });
  const reason = element("input", { class: "form-control form-control-sm", maxlength: 200, required: true, "aria-label": say("why_more"), placeholder: say("why_more") });
  const send = element("button", { type: "button", class: "btn btn-sm" }, say("ask"));
  const problem = element("div", { class: "small text-danger", role: "alert" });
  send.addEventListener("click", async () => {
    const fields = { tenant: data.tenant, amount: amount.value, reason: reason.value };
    const answer = await posted(`${data.quotas}${quota.id}/raises/`, fields);
    if (answer === true) box.replaceWith(more({ ...quota, requested: (quota.requested = true) }));
    else problem.textContent = answer?.text ?? say("failed");
  });
  const fields = element("div", { class: "quota-more" }, amount, reason, send);
  const box = element("details", { class: "small" }, element("summary", {}, say("ask_for_more")), fields, problem);
  return box;
}
