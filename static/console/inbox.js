// The live inbox: a socket says what changed, and the page reads that part again.
import { Connection, NOT_A_MEMBER, SIGNED_OUT, TENANT_CLOSED } from "../chat/connection.js";
import { uuid } from "./uuid.js";

const SHUT_OUT = [SIGNED_OUT, NOT_A_MEMBER, TENANT_CLOSED];
const EVERY_MS = 15_000; // a look without news, where no socket comes through
const holder = document.querySelector("[data-inbox]");
const { tenant, dialogue, live, list } = holder.dataset;
const title = document.title;
const draft = `inbox-draft:${dialogue}`;
const reading = new Map(); // address -> whether it is to be read once more
const sent = new Map(); // form -> {id, text} of what it sent, until the platform has it

begin();

function begin() {
  const connection = new Connection(`/ws/inbox/?tenant=${encodeURIComponent(tenant)}`);
  connection.addEventListener("open", () => {
    lost(false);
    if (dialogue) connection.send({ type: "watch", dialogue });
    readList();
  });
  connection.addEventListener("lost", ({ detail }) => {
    lost(true);
    if (SHUT_OUT.includes(detail.code)) location.reload(); // the page says why
  });
  connection.addEventListener("wake", readAll);
  connection.addEventListener("message", ({ detail }) => (detail.type === "inbox" ? readAll() : readLive()));
  setInterval(() => document.hidden || readAll(), EVERY_MS);
  document.addEventListener("keydown", sendByKeys);
  document.addEventListener("submit", send);
  restore();
  count();
  scrollDown();
}

function readAll() {
  readList();
  readLive();
}

function readList() {
  return read(list, (fresh) => {
    swap("[data-inbox-list]", fresh);
    for (const link of document.querySelectorAll(".inbox-line")) {
      if (link.dataset.dialogue === dialogue) link.setAttribute("aria-current", "true");
    }
    count();
  });
}

function readLive() {
  if (!live) return;
  return read(live, (fresh) => {
    const thread = document.querySelector(".inbox-thread");
    const atEnd = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 40;
    const from = thread.scrollTop;
    swap("[data-inbox-head]", fresh);
    swap("[data-inbox-thread]", fresh);
    const mine = document.querySelector("[data-inbox-head]").dataset.mine === "yes";
    for (const part of document.querySelectorAll("[data-inbox-reply]")) part.hidden = !mine;
    if (atEnd) scrollDown();
    else document.querySelector(".inbox-thread").scrollTop = from;
  });
}

// One reading of an address at a time; what changes meanwhile is read once more.
async function read(address, use) {
  if (reading.has(address)) return reading.set(address, true);
  reading.set(address, false);
  try {
    const answer = await fetch(address, { headers: { "HX-Request": "true", "X-Unattended": "1" } });
    if (answer.status === 403 || answer.headers.has("HX-Redirect")) return location.reload();
    if (!answer.ok) throw new Error(answer.statusText);
    use(new DOMParser().parseFromString(await answer.text(), "text/html"));
    holder.classList.remove("stalled");
  } catch {
    holder.classList.add("stalled"); // the next round tries again
  } finally {
    const again = reading.get(address);
    reading.delete(address);
    if (again) read(address, use);
  }
}

// Equal parts stay, with the focus in them.
function swap(selector, fresh) {
  const [before, after] = [document.querySelector(selector), fresh.querySelector(selector)];
  if (!after || same(before) === same(after)) return;
  const focused = before.contains(document.activeElement) ? mark(document.activeElement) : null;
  before.replaceWith(after);
  if (focused) document.querySelector(`${selector} ${focused}`)?.focus();
}

// What finds the same element in a part that is read anew: a link, a form's button, the thread.
function mark(element) {
  if (element.form) return `[action="${element.form.getAttribute("action")}"] button`;
  return element.href ? `[href="${element.getAttribute("href")}"]` : ".inbox-thread";
}

// The text of a part without the tokens of its forms, which differ each time.
function same(part) {
  const copy = part.cloneNode(true);
  for (const token of copy.querySelectorAll("[name=csrfmiddlewaretoken]")) token.remove();
  for (const link of copy.querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  return copy.innerHTML + part.dataset.mine;
}

function count() {
  const waiting = Number(document.querySelector("[data-inbox-list]").dataset.waiting);
  const badge = document.querySelector("[data-inbox-badge]");
  badge.hidden = !waiting;
  if (badge.textContent !== String(waiting)) badge.textContent = waiting;
  document.title = waiting ? `(${waiting}) ${title}` : title;
}

function lost(isLost) {
  document.querySelector("[data-inbox-lost]").hidden = !isLost;
}

function scrollDown() {
  const thread = document.querySelector(".inbox-thread");
  if (thread) thread.scrollTop = thread.scrollHeight;
}

function sendByKeys(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
  if (event.target.matches("[data-composer]")) event.target.form.requestSubmit();
}

// A reply goes out without a new page, so that nothing else of the page is lost. It keeps its id
// until the platform has it: what is sent again counts once.
async function send(event) {
  const form = event.target;
  if (!form.matches("[data-inbox-form]")) return;
  event.preventDefault();
  const text = form.querySelector("textarea").value;
  const button = form.querySelector("button");
  if (!text.trim() || button.disabled) return;
  if (sent.get(form)?.text !== text) sent.set(form, { id: uuid(), text });
  const body = new FormData(form);
  body.set("client_id", sent.get(form).id);
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
    if (answer.status === 204) recorded(form, text);
    else if (answer.status === 422) await refused(form, answer);
    else if (answer.status < 500) return leave();
    else lost(true);
  } catch {
    lost(true);
  } finally {
    button.disabled = false;
  }
  readLive();
}

function recorded(form, text) {
  const field = form.querySelector("textarea");
  sent.delete(form);
  lost(false);
  if (field.value === text) field.value = "";
  for (const problem of form.querySelectorAll(".invalid-feedback, .alert")) problem.remove();
  field.classList.remove("is-invalid");
}

async function refused(form, answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const action = form.getAttribute("action");
  const fresh = [...page.querySelectorAll("[data-inbox-form]")].find((one) => one.getAttribute("action") === action);
  const before = form.querySelector("textarea");
  const hadFocus = before === document.activeElement;
  form.replaceChildren(...fresh.childNodes);
  const field = form.querySelector("textarea");
  field.value = before.value; // with what was written meanwhile
  if (hadFocus) field.focus();
}

// Signed out, or no longer an agent: the page says so, and what was written is there afterwards.
function leave() {
  sessionStorage.setItem(draft, JSON.stringify(fields().map((field) => field.value)));
  location.reload();
}

function restore() {
  const texts = JSON.parse(sessionStorage.getItem(draft) ?? "[]");
  sessionStorage.removeItem(draft);
  fields().forEach((field, n) => (field.value ||= texts[n] ?? ""));
}

function fields() {
  return [...document.querySelectorAll("[data-composer]")];
}
