// The chat page: one socket, one open conversation, a list of all. What is sent keeps its own id
// until the platform has confirmed it, so a lost connection neither swallows nor doubles it.
import { uuid } from "../console/uuid.js";
import { Composer } from "./composer.js";
import { Connection, NOT_A_MEMBER, SIGNED_OUT, TENANT_CLOSED, TOO_MANY } from "./connection.js";
import * as notices from "./notices.js";
import { at, data, say } from "./page.js";
import * as quotas from "./quotas.js";
import { Search } from "./search.js";
import * as shortcuts from "./shortcuts.js";
import { fetched, Sidebar } from "./sidebar.js";
import * as temporary from "./temporary.js";
import { Thread } from "./thread.js";

const thread = new Thread();
const sidebar = new Sidebar(data.listing);
const search = new Search();
const composer = new Composer();
const connection = new Connection(data.socket);
const unconfirmed = new Map(); // message id -> { send, view }
let view = { conversation: null }; // what the thread shows; a new object for each change

// Showing a conversation ------------------------------------------------------------------------
function show(opened, { push = true } = {}) {
  if (opened?.conversation.id !== view.conversation?.id) temporary.end(view.conversation);
  view = { conversation: opened?.conversation ?? null };
  thread.show(opened?.messages ?? []);
  if (view.conversation) composer.model = view.conversation.model;
  if (push) history.pushState({}, "", view.conversation?.url ?? data.home);
  named();
  followAll();
  hideList();
  composer.focus();
}

function named() {
  const { conversation } = view;
  const title = conversation ? conversation.title || say("untitled") : say("new_chat");
  at("#title").textContent = title;
  document.title = `${title} · Forebay`;
  sidebar.mark(conversation?.id ?? null);
  temporary.show(conversation);
  composer.busy = waiting();
  composer.attachments.conversation = conversation?.id ?? null;
}

async function open(url, options) {
  temporary.end(view.conversation);
  const wanted = (view = { conversation: null, loading: url });
  const opened = await fetched(`${url}messages/`, {}, refused);
  if (view !== wanted) return; // the reader has gone elsewhere meanwhile
  if (opened) show(opened, options);
  else show(null);
}

function refused(status) {
  if (status === 401) notices.signedOut();
  else if (status === 404) notices.notice(say("gone"));
  else notices.notice(say("failed"));
}

function hideList() {
  window.tabler?.Offcanvas.getInstance(at("#conversations"))?.hide();
}

function waiting() {
  const mine = [...unconfirmed.values()].some((entry) => entry.view === view);
  return mine || thread.streaming().length > 0;
}

// Catching up: after a lost connection, and when another tab did something -----------------------
async function catchUp() {
  sidebar.refresh();
  const wanted = view;
  if (!wanted.conversation) return;
  const opened = await fetched(`${wanted.conversation.url}messages/`, {}, (status) => {
    if (status !== 404 || view !== wanted) return;
    show(null);
    notices.notice(say("gone"));
  });
  if (!opened || view !== wanted) return;
  wanted.conversation = opened.conversation;
  const pending = [...unconfirmed.values()].filter((entry) => entry.view === view);
  const known = thread.streaming();
  thread.merge([...opened.messages, ...pending.flatMap((entry) => entry.turns)]);
  for (const answer of thread.streaming()) if (!known.includes(answer)) follow(answer);
  named();
}

function followAll() {
  for (const answer of thread.streaming()) follow(answer);
}

function follow(answer) {
  connection.send({ type: "follow", message: answer.id, after: answer.applied });
}

// What the platform says -------------------------------------------------------------------------
const heard = {
  started({ conversation, question, answer }) {
    const entry = unconfirmed.get(question.id);
    unconfirmed.delete(question.id);
    if (!conversation.temporary) sidebar.put(conversation);
    if (entry?.view !== view) return;
    if (!view.conversation) history.replaceState({}, "", conversation.url);
    view.conversation = conversation;
    thread.remove(entry.turns[1].id);
    thread.add(question);
    thread.add(answer);
    named();
    if (entry.stop) stop();
  },
  waiting(message) {
    thread.answer(message.message)?.queued(message);
  },
  delta(message) {
    const answer = thread.answer(message.message);
    if (answer && !answer.take(message)) follow(answer);
  },
  text(message) {
    thread.answer(message.message)?.replace(message);
  },
  end(message) {
    thread.answer(message.message)?.end(message);
    quotas.refresh(composer.model);
    composer.busy = waiting();
  },
  error({ code, text, message, retry_after: retryAfter, answer_tokens: answerTokens }) {
    const entry = unconfirmed.get(message);
    if (entry) takeBack(entry);
    const renews = code === "insufficient_quota";
    const more = renews ? { text: say("ask_for_more"), run: quotas.show } : null;
    const action = entry && answerTokens ? shorter(entry, answerTokens) : more;
    notices.notice(text, { retryAfter, action, renews });
  },
  "chat.changed": () => soon(catchUp),
};

function takeBack({ send, view: sentFrom, turns }) {
  unconfirmed.delete(send.message);
  if (sentFrom !== view) return;
  for (const turn of turns) thread.remove(turn.id);
  composer.busy = waiting();
  composer.restore(send.text);
  composer.attachments.restore(turns[0].attachments);
}

// The quota has room for an answer that is not as long as usual.
function shorter({ send: { text, model }, view: askedFrom, turns: [{ attachments }] }, max_tokens) {
  const run = () => {
    if (askedFrom !== view || waiting()) return;
    composer.takeOut(text);
    composer.attachments.take();
    ask({ text, model, max_tokens, attachments });
  };
  return { text: say("shorter", { n: max_tokens }), run };
}

let timer = 0;
function soon(work) {
  clearTimeout(timer);
  timer = setTimeout(work, 100);
}

connection.addEventListener("message", ({ detail }) => heard[detail.type]?.(detail));
let first = true;
connection.addEventListener("open", () => {
  notices.back();
  for (const { send } of unconfirmed.values()) connection.send(send);
  followAll();
  if (!first) catchUp();
  first = false;
});
connection.addEventListener("wake", () => soon(catchUp));
connection.addEventListener("lost", ({ detail: { code, online } }) => {
  if (code === SIGNED_OUT) return notices.signedOut();
  if (code === NOT_A_MEMBER) return notices.noMember();
  if (code === TENANT_CLOSED) return notices.tenantClosed();
  if (code === TOO_MANY) return notices.tooMany();
  notices.lost(online);
  // A refused handshake has no code: perhaps the session is over.
  fetched(data.list, { tenant: data.tenant }, (status) => {
    if (status !== 401 && status !== 404) return;
    connection.end();
    notices.back();
    (status === 401 ? notices.signedOut : notices.noMember)();
  });
});

// What the person does ---------------------------------------------------------------------------
composer.addEventListener("send", ({ detail }) => ask(detail));

function ask(question) {
  notices.quiet();
  const conversation = view.conversation?.id ?? null;
  const { attachments = [] } = question;
  const files = { attachments: attachments.map(({ id }) => id) };
  const fresh = conversation ? {} : { temporary: temporary.wanted() };
  const send = { type: "send", message: uuid(), conversation, ...fresh, ...question, ...files };
  const turns = [
    { id: send.message, author: "user", text: question.text, attachments },
    { id: uuid(), author: "assistant", text: "", streaming: true, unconfirmed: true },
  ];
  unconfirmed.set(send.message, { send, view, turns });
  for (const turn of turns) thread.add(turn);
  thread.toEnd();
  composer.busy = true;
  connection.send(send);
}

function stop() {
  for (const answer of thread.streaming()) connection.send({ type: "stop", message: answer.id });
}

composer.addEventListener("stop", () => {
  for (const entry of unconfirmed.values()) if (entry.view === view) entry.stop = true;
  stop();
});
search.addEventListener("open", ({ detail }) => open(detail.url));
shortcuts.listen({
  "/": () => search.focus(),
  n: () => show(null),
  i: () => composer.focus(),
  s: () => at("#conversations").querySelector("a")?.focus(),
});
addEventListener("pagehide", () => temporary.end(view.conversation));
sidebar.addEventListener("open", ({ detail }) => open(detail.url));
sidebar.addEventListener("renamed", ({ detail }) => {
  if (detail.id !== view.conversation?.id) return;
  view.conversation = detail;
  named();
});
sidebar.addEventListener("deleting", ({ detail }) => {
  if (detail.id === view.conversation?.id) stop();
});
sidebar.addEventListener("deleted", ({ detail }) => {
  if (detail.id === view.conversation?.id) show(null);
});
sidebar.addEventListener("failed", ({ detail }) => notices.notice(detail || say("failed")));
for (const button of document.querySelectorAll("[data-new]")) {
  button.addEventListener("click", () => show(null));
}
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => composer.fill(example.dataset.example));
}
addEventListener("popstate", () => {
  if (location.pathname === data.home) show(null, { push: false });
  else open(location.pathname, { push: false });
});

show(data.opened, { push: false });
quotas.refresh(composer.model);
at("#model").addEventListener("change", () => quotas.refresh(composer.model));
