// A prompt for a model, sent over the chat's socket: a chat of who sends it, like any other.
import { uuid } from "./uuid.js";

const sockets = new WeakMap(); // form -> what it waits for

document.addEventListener("submit", (event) => {
  const form = event.target.closest?.("form[data-try]");
  if (!form) return;
  event.preventDefault();
  if (!sockets.has(form)) send(form);
});

document.addEventListener("click", (event) => {
  const form = event.target.closest?.("[data-stop]")?.form;
  const asked = form && sockets.get(form);
  if (asked?.message) asked.say({ type: "stop", message: asked.message });
});

function send(form) {
  const { text, tenant } = form.elements;
  const language = document.documentElement.lang;
  const query = new URLSearchParams({ tenant: tenant.value, language });
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/ws/chat/?${query}`);
  const asked = { message: "", say: (words) => socket.send(JSON.stringify(words)) };
  const question = { type: "send", text: text.value, model: form.dataset.model, message: uuid() };
  begin(form, socket, asked);
  socket.onopen = () => asked.say(question);
  socket.onmessage = ({ data }) => heard(form, asked, JSON.parse(data));
  socket.onclose = ({ code }) => over(form, socket, why(form, asked, code));
  asked.over = (said) => over(form, socket, said);
}

function begin(form, socket, asked) {
  sockets.set(form, asked);
  const answer = part(form, "answer");
  answer.textContent = "";
  answer.hidden = part(form, "conversation").hidden = true;
  part(form, "stop").hidden = false;
  form.setAttribute("aria-busy", "true");
  tell(form, form.dataset.sending);
}

function heard(form, asked, said) {
  if (said.type === "started") {
    asked.message = said.answer.id;
    const link = part(form, "conversation");
    link.href = said.conversation.url;
    link.hidden = false;
  } else if (said.type === "waiting") {
    tell(form, said.before ? filled(form.dataset.waiting, { n: said.before }) : form.dataset.next);
  } else if (said.type === "delta") {
    grow(form, said);
  } else if (said.type === "text") {
    show(form, said.text);
  } else if (said.type === "end") {
    asked.over(said.error ? said.error.text : done(form, said));
  } else if (said.type === "error" && said.message === asked.message) {
    tell(form, said.text); // it could not be stopped, and goes on
  } else if (said.type === "error") {
    asked.over(said.text);
  }
}

// Why the socket is closed; a prompt that was not acknowledged is in no chat.
function why(form, asked, code) {
  const { dataset } = form;
  return dataset[`closed-${code}`] ?? (asked.message ? dataset.lost : dataset.unsent);
}

function done(form, { figures, upstream, finish_reason: reason }) {
  const ttft = figures?.ttft_ms == null ? "–" : `${figures.ttft_ms} ms`;
  const known = upstream || figures?.pool || form.dataset.model;
  const ends = form.getAttribute(`data-end-${reason}`) ?? form.dataset.end; // others are rare
  const end = filled(ends, { reason });
  return filled(form.dataset.done, { upstream: known, ttft, tokens: figures?.tokens ?? "–", end });
}

function over(form, socket, said) {
  socket.onclose = socket.onmessage = null;
  socket.close();
  sockets.delete(form);
  part(form, "stop").hidden = true;
  form.removeAttribute("aria-busy");
  tell(form, said);
}

function grow(form, { pieces, reasoning = [] }) {
  const text = pieces.join("");
  if (text || reasoning.length) tell(form, text ? "" : form.dataset.thinking);
  if (text) show(form, part(form, "answer").textContent + text);
}

function show(form, text) {
  const answer = part(form, "answer");
  answer.hidden = false;
  answer.textContent = text;
}

const part = (form, name) => form.querySelector(`[data-${name}]`);
const tell = (form, text) => {
  const told = part(form, "told"); // is read out when it changes
  if (told.textContent !== text) told.textContent = text;
};
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
