// Small manners of the console: copy buttons, questions before an act that cannot be undone.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard API: select the text, so that Ctrl-C takes it.
    getSelection().selectAllChildren(source);
    source.select?.();
    if (!document.execCommand("copy")) return;
  }
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1600);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.querySelector("#confirm");
  dialog.querySelector("[data-question]").textContent = form.dataset.confirm;
  dialog.querySelector("[data-yes]").textContent = form.dataset.yes;
  dialog.querySelector("[data-yes]").onclick = () => {
    // A poll may have put an equal form in its place meanwhile.
    const present = form.isConnected ? form : [...document.forms].find(({ action }) => action === form.action);
    if (!present) return location.reload();
    present.dataset.confirmed = "yes";
    present.requestSubmit();
  };
  tabler.Modal.getOrCreateInstance(dialog).show();
});

// The second click of two sends nothing. Other scripts have prevented their own before the window.
const DOUBLE_MS = 3000;
addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.getAttribute("method") !== "post") return;
  if ("sent" in form.dataset) return event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, DOUBLE_MS);
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Unsent texts of the chat (chat/drafts.js) and the inbox stay on no computer that somebody has left.
document.addEventListener("submit", ({ target }) => {
  if (!target.matches("[data-sign-out]")) return;
  for (const storage of [localStorage, sessionStorage]) {
    for (const name of Object.keys(storage)) if (/^(chat-(draft|queue)|inbox-draft):/.test(name)) storage.removeItem(name);
  }
});

// Nobody need be in front of a page that refreshes itself: such a request must not keep a session open.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (!detail.triggeringEvent) detail.headers["X-Unattended"] = "1";
});

// Live figures that no longer arrive must not look live.
for (const trouble of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(trouble, (event) => event.target.classList.add("stalled"));
}
document.addEventListener("htmx:afterOnLoad", (event) => event.target.classList.remove("stalled"));

// On a phone the row of pages is wider than the screen: show where we are.
document.querySelector(".page-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A table that is wider than its place is scrolled with the keyboard too (WCAG 2.1.1).
function reachTables() {
  for (const place of document.querySelectorAll(".table-responsive:not([tabindex])"))
    if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
}
for (const moment of ["load", "resize", "htmx:afterSettle"]) addEventListener(moment, reachTables);

// What had been entered before the person was asked to prove who they are: back into its form. Straight
// after the proof the form is sent again, if it is the same (platform/console/account/saved_form.py).
const entered = document.querySelector("[data-entered]");
if (entered) {
  const fields = JSON.parse(document.querySelector("#entered").textContent);
  const values = (name) => fields.filter(([found]) => found === name).map(([, value]) => value);
  // Rows of a table have forms of the same address: their hidden fields tell them apart. What a form knew of
  // its object (console/forms.py) may be another by now: it goes out as it was, and the page says so.
  const isIt = (form) =>
    form.method === "post" &&
    new URL(form.getAttribute("action") || location.href, location.href).pathname === entered.dataset.entered &&
    [...form.querySelectorAll("input[type=hidden]:not([name=csrfmiddlewaretoken], [name=known])")].every(
      ({ name, value }) => !values(name).length || values(name).includes(value),
    );
  const form = [...document.forms].find(isIt);
  for (const field of form?.elements ?? []) fill(field, values(field.name));
  for (let fold = form?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  form?.scrollIntoView({ block: "center" });
  const buttons = [...(form?.querySelectorAll("[type=submit]") ?? [])];
  const button = buttons.find(({ name, value }) => name && values(name).includes(value)) ?? buttons[0];
  button?.focus({ preventScroll: true });
  if ("sends" in entered.dataset && button && sameEntries(new FormData(form, button), fields)) {
    entered.remove();
    form.dataset.confirmed = "yes"; // they were asked before they sent it the first time
    addEventListener("load", () => form.requestSubmit(button)); // htmx has seen the form by then
  }
}

function sameEntries(data, fields) {
  const texts = (pairs) =>
    pairs
      .filter(([name]) => name !== "csrfmiddlewaretoken")
      .map(([name, value]) => `${name}=${typeof value === "string" ? value.replace(/\r\n?/g, "\n") : "file"}`)
      .sort()
      .join("\0");
  return texts([...data]) === texts(fields);
}

// Once a form has gone out, its restored entries are submitted.
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.successful && detail.requestConfig.verb === "post") document.querySelector("[data-entered]")?.remove();
});

// A form that comes back with errors: the first one is shown and has the focus.
const WRONG = "form .is-invalid, form .invalid-feedback, form [role=alert]";
function showError() {
  const wrong = document.querySelector(WRONG);
  if (!wrong) return;
  for (let fold = wrong.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (!wrong.matches("input, select, textarea")) wrong.tabIndex = -1;
  wrong.focus({ preventScroll: true });
  wrong.scrollIntoView({ block: "center" });
}
document.addEventListener("htmx:afterSettle", ({ detail }) => {
  if (detail.requestConfig.verb === "post") showError(); // not at each poll of live figures
});
showError();

function fill(field, values) {
  if (field.name === "known" && values.length) field.value = values[0];
  if (["hidden", "password", "file", "submit", "button"].includes(field.type) || !field.name) return;
  if (["checkbox", "radio"].includes(field.type)) field.checked = values.includes(field.value);
  else if (field.type === "select-multiple") for (const option of field.options) option.selected = values.includes(option.value);
  else if (values.length) field.value = values[0];
  field.closest("details")?.setAttribute("open", "");
  field.dispatchEvent(new Event("change", { bubbles: true }));
}
