// The chat page: one socket, one open conversation, a list of all. What is sent keeps its own id
// until the platform has confirmed it, so a lost connection neither swallows nor doubles it.
import { uuid } from "../console/uuid.js";
import * as acts from "./acts.js";
import { Composer } from "./composer.js";
import { draftOf, keepDraft, keepQueue, queueOf } from "./drafts.js";
import { gauge } from "./gauge.js";
import "./model_picker.js";
import { ChatSettings } from "./settings.js";
import { Connection, NOT_A_MEMBER, SIGNED_OUT, TENANT_CLOSED, TOO_MANY } from "./connection.js";
import * as notices from "./notices.js";
import { at, data, say } from "./page.js";
import * as quotas from "./quotas.js";
import { fetched } from "./requests.js";
import { Search } from "./search.js";
import * as shortcuts from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import * as temporary from "./temporary.js";
import { Thread } from "./thread.js";
import { WaitingMessages } from "./waiting_messages.js";

const thread = new Thread();
const sidebar = new Sidebar(data.listing);
const search = new Search();
const composer = new Composer();
const waitingMessages = new WaitingMessages();
const settings = new ChatSettings();
const connection = new Connection(data.socket);
const unconfirmed = new Map(); // message id -> { send, view, turns, stop }
const stopped = new Set(); // ids of answers; a stop that was lost with the connection is sent again
let view = { conversation: null }; // what the thread shows; a new object for each change
let revision = 0; // of what the thread shows: a record that was read under an older one is outdated
let opening = null; // the request for the conversation that is to be shown next

let shut = null; // says why nothing is sent any more

const idOf = ({ conversation }) => conversation?.id ?? null;
const pending = () => [...unconfirmed.values()].filter((entry) => entry.view === view);

// Showing a conversation ------------------------------------------------------------------------
function show(opened, { push = true } = {}) {
  if (opened?.conversation.id !== view.conversation?.id) temporary.end(view.conversation);
  view = { conversation: opened?.conversation ?? null, tokens: opened?.tokens ?? 0 };
  revision += 1;
  thread.show(opened?.messages ?? []);
  resume();
  settings.show(view.conversation, opened?.settings);
  if (view.conversation) composer.model = view.conversation.model;
  if (push) history.pushState({}, "", view.conversation?.url ?? data.home);
  composer.open(idOf(view));
  waitingMessages.open(idOf(view), thread.turns());
  named();
  followAll();
  hideList();
  composer.focus();
  if (thread.turns().at(-1)?.error) waitingMessages.hold();
  else sendNext();
}

// What was sent from this conversation, and has not been confirmed since, is shown again.
function resume() {
  if (!view.conversation) return;
  for (const entry of unconfirmed.values()) {
    if (idOf(entry.view) !== idOf(view)) continue;
    entry.view = view;
    if (!thread.node(entry.send.message)) place(entry);
  }
}

function named() {
  const { conversation } = view;
  const title = conversation ? conversation.title || say("untitled") : say("new_chat");
  at("#title").textContent = title;
  document.title = `${title} · Forebay`;
  sidebar.mark(idOf(view));
  temporary.show(conversation);
  keepTexts();
  composer.attachments.conversation = idOf(view);
  state();
}

// The browser keeps no texts of a temporary chat.
function keepTexts() {
  composer.temporary = waitingMessages.temporary = temporary.is(view.conversation);
}

// What the composer offers, and how full the context is.
function state() {
  composer.busy = waiting();
  if (!composer.busy) notices.answered();
  gauge(thread.turns(), composer.model, view.tokens ?? 0);
}

// What is shown stays, and goes on, until the other conversation is here.
async function open(url, options) {
  const mine = (opening = {});
  const before = revision;
  let status = 0;
  const opened = await fetched(`${url}messages/`, {}, (refusal) => (status = refusal));
  if (opening !== mine) return; // the reader has gone elsewhere meanwhile
  if (!opened) return stay(status);
  const outdated = revision !== before;
  show(opened, options);
  if (outdated) soon(catchUp);
}

// The browser's way back has changed the address already.
function stay(status) {
  refused(status);
  const address = view.conversation?.url ?? data.home;
  if (location.pathname !== address) history.pushState({}, "", address);
}

function startNew(options) {
  opening = null;
  show(null, options);
}

function refused(status) {
  if (shut) shut();
  else if (status === 401) notices.signedOut();
  else if (status === 404) notices.notice(say("gone"));
  else notices.notice(say("failed"));
}

function hideList() {
  window.tabler?.Offcanvas.getInstance(at("#conversations"))?.hide();
}

function waiting() {
  return pending().length > 0 || thread.streaming().length > 0;
}

// Catching up: after a lost connection, and when another tab did something -----------------------
async function catchUp() {
  if (shut) return;
  sidebar.refresh();
  const { conversation } = view;
  if (!conversation) return;
  const read = () => fetched(`${conversation.url}messages/`, {}, (status) => status === 404 && gone(conversation.id));
  if (await renewed(read)) sendNext();
}

function gone(id) {
  if (id !== idOf(view)) return;
  show(null);
  notices.notice(say("gone"));
}

// Shows the record that `read` brings, and resolves to it. What has changed here meanwhile, or has not
// been confirmed, is not in it: then it is read again.
async function renewed(read) {
  const before = revision;
  const opened = await read();
  if (!opened) return null;
  view.outdated = revision !== before || pending().length > 0;
  if (view.outdated) {
    if (!pending().length) soon(catchUp);
    return null;
  }
  revision += 1;
  view.conversation = opened.conversation;
  view.tokens = opened.tokens;
  const known = thread.streaming();
  thread.merge(opened.messages);
  for (const answer of thread.streaming()) if (!known.includes(answer)) follow(answer);
  named();
  return opened;
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
    revision += 1;
    const id = unconfirmed.has(question.id) ? question.id : answer.id;
    const entry = unconfirmed.get(id);
    unconfirmed.delete(id);
    if (entry?.stop) stopOne(answer.id);
    if (!conversation.temporary) sidebar.put(conversation);
    if (entry?.view !== view) return missed(conversation);
    if (!view.conversation) begun(conversation);
    view.conversation = conversation;
    thread.cut(question.id, { after: true });
    thread.confirm(question);
    thread.add(answer);
    named();
    if (view.outdated) soon(catchUp);
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
    stopped.delete(message.message);
    const answer = thread.answer(message.message);
    quotas.refresh(composer.model);
    if (!answer) return;
    answer.end(message);
    state();
    if (message.error) waitingMessages.hold();
    else sendNext();
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

// It began after the person had left it.
function missed(conversation) {
  if (conversation.id === idOf(view)) soon(catchUp);
  else if (conversation.temporary) temporary.end(conversation);
}

function begun(conversation) {
  history.replaceState({}, "", conversation.url);
  composer.begun(conversation.id);
  waitingMessages.begun(conversation.id);
  settings.begun(conversation);
}

// A refused message is back where it came from: no text is lost, but for a temporary chat's that was left.
function takeBack(entry) {
  const { send, view: sentFrom, turns } = entry;
  unconfirmed.delete(send.message);
  if (sentFrom === view) {
    for (const turn of turns) thread.remove(turn.id);
    state();
    waitingMessages.hold();
    if (send.edits || send.type === "again" || view.outdated) soon(catchUp);
  } else if (isTemporary(entry)) return;
  if (!isTyped(send)) return;
  if (idOf(sentFrom) !== idOf(view)) return keepText(entry);
  if (composer.restore(send.text)) composer.attachments.restore(filesOf(entry));
  else waitingMessages.add(heldItem(entry), { first: true });
}

const isTyped = (send) => send.type === "send" && !send.summary;
const isTemporary = ({ send, view: sentFrom }) => sentFrom.conversation?.temporary ?? send.temporary;
const filesOf = ({ turns }) => turns[0]?.attachments ?? [];

function heldItem(entry) {
  const { text, model, message, edits } = entry.send;
  return { text, model, message, edits, attachments: filesOf(entry), held: true };
}

// For its conversation, which is not shown, or for the page that comes after this one.
function keepText(entry) {
  const id = idOf(entry.view);
  if (draftOf(id) || filesOf(entry).length) keepQueue(id, [heldItem(entry), ...queueOf(id)]);
  else keepDraft(id, entry.send.text);
}

// The quota has room for an answer that is not as long as usual.
function shorter(entry, max_tokens) {
  const { send, view: askedFrom } = entry;
  const run = () => {
    if (askedFrom !== view || waiting()) return;
    if (send.type === "again") return request({ ...send, message: uuid(), max_tokens });
    const { text, model, edits, summary } = send;
    composer.takeOut(text);
    composer.attachments.takeOut(filesOf(entry));
    ask({ text, model, max_tokens, edits, summary, attachments: filesOf(entry) });
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
  for (const id of stopped) {
    stopOne(id);
    if (!thread.answer(id)) stopped.delete(id); // nobody follows it: its end is not heard
  }
  if (!first) catchUp();
  first = false;
});
connection.addEventListener("wake", () => soon(catchUp));
const REASONS = {
  [SIGNED_OUT]: notices.signedOut,
  [NOT_A_MEMBER]: notices.noMember,
  [TENANT_CLOSED]: notices.tenantClosed,
  [TOO_MANY]: notices.tooMany,
};
connection.addEventListener("lost", ({ detail: { code, online } }) => {
  const reason = REASONS[code];
  if (reason) return shutOut(reason);
  notices.lost(online);
  // A refused handshake has no code: perhaps the session is over.
  fetched(data.list, { tenant: data.tenant }, (status) => {
    if (status !== 401 && status !== 404) return;
    shutOut(status === 401 ? notices.signedOut : notices.noMember);
  });
});

function shutOut(reason) {
  shut = reason;
  connection.end();
  notices.back();
  waitingMessages.hold();
  for (const entry of [...unconfirmed.values()]) takeBack(entry);
  for (const answer of thread.streaming()) answer.end({ finish_reason: "error" });
  state();
  shut();
}

// What the person does ---------------------------------------------------------------------------
settings.addEventListener("model", ({ detail }) => (composer.model = detail));
composer.addEventListener("send", ({ detail }) => ask(detail));
composer.addEventListener("queue", ({ detail }) => waitingMessages.add({ ...detail, message: uuid() }));
composer.addEventListener("model", state);
at("#temporary").addEventListener("change", keepTexts);
waitingMessages.addEventListener("edit", ({ detail }) => {
  if (composer.restore(detail.text)) composer.attachments.restore(detail.attachments);
  else waitingMessages.add({ ...detail, held: true }, { first: true });
});
waitingMessages.addEventListener("send", ({ detail }) => {
  if (waiting()) waitingMessages.add({ ...detail, held: false }, { first: true });
  else ask(detail);
});
at("#summarise").addEventListener("click", () => {
  if (!waiting()) ask({ text: say("summary_request"), model: composer.model, summary: true });
});

function sendNext() {
  const item = shut || waiting() ? null : waitingMessages.next();
  if (item) ask(item);
}

function ask({ text, model, message = uuid(), attachments = [], ...more }) {
  const conversation = idOf(view);
  const turns = [
    { id: message, author: "user", text, attachments, unconfirmed: true },
    { id: uuid(), author: "assistant", text: "", streaming: true, unconfirmed: true },
  ];
  const fresh = conversation ? {} : { temporary: temporary.wanted(), settings: settings.wanted };
  const files = { attachments: attachments.map(({ id }) => id) };
  const send = { type: "send", message, conversation, text, model, ...files, ...fresh, ...wished(more) };
  place({ send, turns });
  thread.toEnd();
  request(send, turns);
}

function place({ send, turns }) {
  if (send.edits) thread.cut(send.edits);
  for (const turn of turns) thread.add(turn);
}

// Without what is left open: an undefined field is none.
function wished({ edits, max_tokens, summary }) {
  return { ...(edits && { edits }), ...(max_tokens && { max_tokens }), ...(summary && { summary }) };
}

function request(send, turns = []) {
  const entry = { send, view, turns };
  if (shut) return takeBack(entry) || shut();
  notices.quiet();
  unconfirmed.set(send.message, entry);
  composer.busy = true;
  connection.send(send);
}

// What has not been confirmed when the page goes is there when it comes back, under its own id.
addEventListener("pagehide", () => {
  for (const entry of unconfirmed.values()) {
    if (!isTyped(entry.send) || isTemporary(entry)) continue;
    const id = idOf(entry.view);
    keepQueue(id, [heldItem(entry), ...queueOf(id)]);
  }
});

function stop() {
  for (const answer of thread.streaming()) stopOne(answer.id);
}

function stopOne(id) {
  stopped.add(id);
  connection.send({ type: "stop", message: id });
}

composer.addEventListener("stop", () => {
  for (const entry of pending()) entry.stop = true;
  stop();
});
search.addEventListener("open", ({ detail }) => open(detail.url));
shortcuts.listen({
  "/": () => search.focus(),
  n: () => startNew(),
  i: () => composer.focus(),
  s: () => at("#conversations").querySelector("a")?.focus(),
});
addEventListener("pagehide", () => temporary.end(view.conversation));
sidebar.addEventListener("open", ({ detail }) => open(detail.url));
sidebar.addEventListener("renamed", ({ detail }) => {
  if (detail.id !== view.conversation?.id) return;
  revision += 1;
  view.conversation = detail;
  named();
});
sidebar.addEventListener("deleting", ({ detail }) => {
  if (detail.id === view.conversation?.id) stop();
});
sidebar.addEventListener("deleted", ({ detail }) => {
  keepDraft(detail.id, "");
  keepQueue(detail.id, []);
  if (detail.id === view.conversation?.id) show(null);
});
sidebar.addEventListener("failed", ({ detail }) => notices.notice(detail || say("failed")));
for (const button of document.querySelectorAll("[data-new]")) {
  button.addEventListener("click", () => startNew());
}
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => composer.fill(example.dataset.example));
}
addEventListener("popstate", () => {
  if (location.pathname === data.home) startNew({ push: false });
  else open(location.pathname, { push: false });
});

acts.listen({ thread, composer, sidebar, view: () => view, waiting, ask, request, open, renewed });
show(data.opened, { push: false });
quotas.refresh(composer.model);
at("#model").addEventListener("change", () => quotas.refresh(composer.model));
