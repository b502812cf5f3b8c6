// Frozen copies for others: makes one, lists all, ends one.
import { answered } from "./dialogs.js";
import { at, data, element, say } from "./page.js";
import { fetched, posted } from "./requests.js";

// Resolves to a problem's text, or to undefined.
export async function share(row) {
  const dialog = at("#share");
  const audience = dialog.querySelector("[name=audience]");
  const days = dialog.querySelector("[name=days]");
  audience.replaceChildren(...data.audiences.map(([value, label]) => element("option", { value }, label)));
  days.replaceChildren(...data.share_days.map((n) => element("option", { value: n }, say("for_days", { n }))));
  days.value = "7";
  if (!(await answered(dialog))) return undefined;
  const shared = await posted(`${row.url}share/`, { audience: audience.value, days: days.value });
  if (!shared?.url) return shared?.text ?? say("failed");
  showAddress(shared.url);
  return undefined;
}

function showAddress(url) {
  const dialog = at("#shared");
  const field = dialog.querySelector("input");
  field.value = url;
  dialog.querySelector("[data-copy]").onclick = () => navigator.clipboard.writeText(url);
  answered(dialog);
  field.select();
}

export async function showShares() {
  const list = at("#shares-list");
  const shares = (await fetched(data.shares, { tenant: data.tenant })) ?? [];
  list.replaceChildren(...shares.map(line));
  at("#shares-empty").hidden = shares.length > 0;
  const dialog = at("#shares");
  if (!dialog.open) answered(dialog);
}

function line({ id, title, audience_label: label, expires_at: until, views }) {
  const when = new Date(until).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  const about = `${label} · ${say("until", { when })} · ${say("views", { n: views })}`;
  const end = element("button", { type: "button", class: "btn btn-sm btn-outline-danger" }, say("end_sharing"));
  end.addEventListener("click", async () => {
    if (await posted(`${data.shares}${id}/deletion/`, {})) showShares();
  });
  const text = element("div", { class: "flex-fill text-truncate" }, title || say("untitled"), element("div", { class: "small text-secondary" }, about));
  return element("li", { class: "d-flex align-items-center gap-2 mb-2" }, text, end);
}
