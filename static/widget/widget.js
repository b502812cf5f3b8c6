// The widget of a tenant's pages: a dialogue with an assistant, and with people behind it.
//
//   <script async src="https://forebay.example/static/widget/widget.js" data-key="pk-fb-…"></script>
//
// It works under a strict Content-Security-Policy: no inline script or style, no eval, no markup
// from texts. It sets no cookie; sessionStorage holds the visitor's token while the tab is open, and
// messages until they are answered. docs/api/dialogues.md has its settings and the policy that a
// page needs.
"use strict";
(() => {
  const script = document.currentScript;
  const key = script?.dataset.key ?? "";
  const base = new URL(script?.src ?? location.href).origin;
  const stored = `forebay-widget:${key}`;
  const AGAIN_MS = [500, 1_000, 2_000, 5_000, 10_000];
  const SEND_TRIES = 5;
  const EARLY_S = 60; // a token is renewed so long before it expires
  const LONGEST = 4_000;

  const TEXTS = {
    en: {
      show: "Open the conversation",
      hide: "Close the conversation",
      title: "How can we help?",
      write: "Write a message",
      send: "Send",
      you: "You",
      assistant: "Assistant",
      human: "Staff",
      sources: "Sources",
      working: "The assistant is answering",
      waiting: "A member of our staff will answer here soon.",
      with_human: "You are talking with a member of our staff.",
      closed: "This conversation has ended.",
      end: "End conversation",
      again: "New conversation",
      rate: "How satisfied are you?",
      rating: (n) => `${n} of 5`,
      thanks: "Thank you.",
      offline: "No connection. Trying again…",
      limited: "Too many messages right now. Please try again in a moment.",
      failed: "Your message was not answered. Please send it again.",
      unavailable: "The conversation is not available right now.",
      long: `A message has at most ${LONGEST} characters.`,
    },
    zh: {
      show: "打开对话",
      hide: "关闭对话",
      title: "有什么可以帮您？",
      write: "请输入消息",
      send: "发送",
      you: "您",
      assistant: "智能助手",
      human: "客服人员",
      sources: "来源",
      working: "助手正在回复",
      waiting: "客服人员将很快在这里回复您。",
      with_human: "您正在与客服人员对话。",
      closed: "本次对话已结束。",
      end: "结束对话",
      again: "新的对话",
      rate: "您对本次服务满意吗？",
      rating: (n) => `${n} 分（满分 5 分）`,
      thanks: "感谢您的评价。",
      offline: "连接中断，正在重试……",
      limited: "消息过于频繁，请稍后再试。",
      failed: "您的消息未能得到回复，请重新发送。",
      unavailable: "对话暂时无法使用。",
      long: `一条消息最多 ${LONGEST} 个字符。`,
    },
  };
  const STYLE = `
    :host { all: initial; position: fixed; inset: auto 1rem 1rem auto; z-index: 2147483000;
      --back: #fff; --text: #1b2430; --dim: #5b6675; --line: #d5dae1; --soft: #eef1f5;
      --accent: #1f5fbf; --on: #fff; color-scheme: light;
      font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans SC", sans-serif; }
    :host([data-theme="dark"]) { --back: #161c24; --text: #e7ebf0; --dim: #a3aebd; --line: #364150;
      --soft: #222b36; --accent: #7db1ff; --on: #0d1622; color-scheme: dark; }
    * { box-sizing: border-box; font: inherit; color: inherit; margin: 0; }
    button { cursor: pointer; border: 1px solid var(--line); border-radius: .5rem;
      background: var(--back); padding: .35rem .7rem; min-height: 2.75rem; }
    button:disabled { cursor: default; opacity: .55; }
    button:focus-visible, textarea:focus-visible, a:focus-visible, [tabindex]:focus-visible {
      outline: 3px solid var(--accent); outline-offset: 2px; }
    .main { background: var(--accent); color: var(--on); border-color: var(--accent); }
    .launcher { border-radius: 2rem; min-width: 3.5rem; min-height: 3.5rem;
      box-shadow: 0 4px 16px rgb(0 0 0 / .25); font-weight: 600; padding: 0 1.2rem; }
    .panel { display: flex; flex-direction: column; width: min(24rem, calc(100vw - 2rem));
      height: min(36rem, calc(100vh - 2rem)); background: var(--back); color: var(--text);
      border: 1px solid var(--line); border-radius: .8rem; overflow: hidden;
      box-shadow: 0 8px 32px rgb(0 0 0 / .25); }
    [hidden] { display: none !important; }
    header, footer { display: flex; gap: .5rem; align-items: center; padding: .6rem .8rem; }
    header { border-bottom: 1px solid var(--line); }
    header h2 { flex: 1; font-size: 1rem; font-weight: 600; }
    .log { flex: 1; overflow-y: auto; padding: .8rem; display: flex; flex-direction: column;
      gap: .7rem; }
    .message { max-width: 88%; align-self: flex-start; }
    .message.person { align-self: flex-end; }
    .who { font-size: .8rem; color: var(--dim); }
    .text { white-space: pre-wrap; overflow-wrap: anywhere; padding: .5rem .7rem;
      border-radius: .7rem; background: var(--soft); }
    .person .text { background: var(--accent); color: var(--on); }
    .human .text { border: 1px solid var(--accent); }
    .sources { font-size: .8rem; color: var(--dim); padding: .3rem 0 0; }
    .sources ul { padding: 0 0 0 1.1rem; }
    .status { padding: .3rem .8rem; font-size: .85rem; color: var(--dim); min-height: 1.9rem; }
    .rating { padding: .3rem .8rem .6rem; }
    .rating div { display: flex; gap: .4rem; padding: .3rem 0 0; }
    form { display: flex; gap: .5rem; padding: .6rem .8rem; border-top: 1px solid var(--line); }
    textarea { flex: 1; resize: none; border: 1px solid var(--dim); border-radius: .5rem;
      background: var(--back); padding: .45rem .6rem; }
    .hidden-text { position: absolute; width: 1px; height: 1px; overflow: hidden;
      clip-path: inset(50%); white-space: nowrap; }
    @media (max-width: 30rem) { :host { inset: auto .5rem .5rem auto; }
      .panel { width: calc(100vw - 1rem); height: calc(100vh - 1rem); } }`;

  let session = load(); // {token, expires, languages, dialogue, opened, unsent}
  let language = "en";
  let words = TEXTS.en;
  let status = "open";
  let last = ""; // the id of the last event
  let reading = null; // the reader of events: {stop}
  let sending = Promise.resolve(); // messages go one after the other
  const shown = new Map(); // message number -> its elements
  const parts = {};

  // What the tab remembers ----------------------------------------------------------------------
  function load() {
    try {
      return { unsent: [], ...JSON.parse(sessionStorage.getItem(stored)) };
    } catch {
      return { unsent: [] };
    }
  }

  function remember(changes) {
    session = { ...session, ...changes };
    try {
      sessionStorage.setItem(stored, JSON.stringify(session));
    } catch {
      // A browser that forbids it forgets the dialogue with the page.
    }
  }

  // The platform --------------------------------------------------------------------------------
  async function ask(method, path, body, signal) {
    const headers = { "content-type": "application/json" };
    if (session.token) headers.authorization = `Bearer ${session.token}`;
    const answer = await fetch(base + path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "origin",
      signal,
    });
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({}));
    const after = Number(answer.headers.get("retry-after")) || 0;
    throw Object.assign(new Error(error?.message ?? answer.statusText), {
      status: answer.status,
      code: error?.code ?? "",
      after,
    });
  }

  const ensureToken = shared(async () => {
    if (session.token && session.expires - EARLY_S > Date.now() / 1_000) return;
    const answer = await ask("POST", "/v1/widget/sessions", { key, token: session.token || null });
    const { token, expires_in, languages } = await answer.json();
    remember({ token, expires: Date.now() / 1_000 + expires_in, languages }); // by the page's clock
  });

  const ensureDialogue = shared(async () => {
    try {
      await beginDialogue();
    } catch (problem) {
      if (!session.token || problem.status !== 401) throw problem;
      remember({ token: null, dialogue: null }); // too old to be renewed: a new visitor
      await beginDialogue();
    }
  });

  async function beginDialogue() {
    await ensureToken();
    speak();
    if (session.dialogue) return;
    const wanted = session.languages?.includes(language) ? { language } : {};
    const answer = await ask("POST", "/v1/dialogues", wanted);
    remember({ dialogue: (await answer.json()).id });
  }

  // Who calls it while it is under way waits for the same end: two tokens are two visitors.
  function shared(work) {
    let underWay = null;
    return () => (underWay ??= work().finally(() => (underWay = null)));
  }

  function speak() {
    const wanted = script.dataset.language || document.documentElement.lang || navigator.language;
    const short = wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
    const served = session.languages ?? [short];
    language = served.includes(short) ? short : served[0];
    words = TEXTS[language] ?? TEXTS.en;
    label();
  }

  // Reading what happens ------------------------------------------------------------------------
  function follow() {
    if (reading) return;
    const stop = new AbortController();
    reading = { stop };
    read(stop.signal).finally(() => {
      if (reading?.stop === stop) reading = null;
    });
  }

  function unfollow() {
    reading?.stop.abort();
    reading = null;
  }

  async function read(signal) {
    for (let tries = 0; !signal.aborted; tries += 1) {
      const before = last;
      try {
        await ensureToken();
        signal.throwIfAborted();
        const over = await readOnce(signal, tries);
        if (over) return;
      } catch (problem) {
        if (signal.aborted) return;
        if (isGone(problem)) return forget();
        if (tries) say(words.offline);
      }
      if (last !== before) tries = 0;
      await pause(AGAIN_MS[Math.min(tries, AGAIN_MS.length - 1)]);
    }
  }

  // A socket at first; where none comes through, a stream.
  function readOnce(signal, tries) {
    return tries % 2 ? readStream(signal) : readSocket(signal);
  }

  function readSocket(signal) {
    return new Promise((resolve, reject) => {
      const address = base.replace(/^http/, "ws");
      const socket = new WebSocket(`${address}/v1/dialogues/${session.dialogue}/socket`);
      let over = false;
      signal.addEventListener("abort", () => socket.close());
      socket.onopen = () => {
        socket.send(JSON.stringify({ type: "hello", token: session.token, after: last }));
      };
      socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        over = event.event === "end";
        take(event.event, event.data, event.id);
      };
      socket.onerror = () => reject(new Error("refused")); // all that a page's policy brings
      socket.onclose = () => (over ? resolve(true) : reject(new Error("closed")));
    });
  }

  async function readStream(signal) {
    const answer = await fetch(`${base}/v1/dialogues/${session.dialogue}/messages`, {
      headers: {
        authorization: `Bearer ${session.token}`,
        accept: "text/event-stream",
        ...(last && { "last-event-id": last }),
      },
      credentials: "omit",
      cache: "no-store",
      signal,
    });
    if (!answer.ok) throw Object.assign(new Error(answer.statusText), { status: answer.status });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) if (takeLines(event)) return true;
    }
  }

  function takeLines(event) {
    const fields = {};
    for (const line of event.split("\n")) {
      const at = line.indexOf(": ");
      if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
    }
    if (fields.data) take(fields.event, JSON.parse(fields.data), fields.id);
    return fields.event === "end";
  }

  function take(name, data, id) {
    if (name === "delta") showDelta(data);
    else if (name === "message") showMessage(data);
    else if (name === "status") showStatus(data.status);
    if (id) last = id;
  }

  function isGone(problem) {
    return [401, 403, 404].includes(problem.status);
  }

  function forget() {
    for (const message of session.unsent) if (!message.failed) giveBack(message);
    remember({ dialogue: null, token: null });
    unfollow();
    shown.clear();
    last = "";
    parts.log.setAttribute("aria-busy", "false");
    showStatus("unavailable");
  }

  // Sending -------------------------------------------------------------------------------------
  // A message is remembered until it is answered. So it outlives its page, and keeps the id by
  // which it counts once.
  function submit(event) {
    event?.preventDefault();
    const text = parts.input.value.trim();
    if (!text) return;
    if (text.length > LONGEST) return say(words.long);
    parts.input.value = "";
    const same = session.unsent.find((one) => one.failed && one.text === text);
    const message = { id: same?.id ?? uuid(), text };
    remember({ unsent: [...session.unsent.filter((one) => !one.failed), message] });
    queue(message);
  }

  function queue(message) {
    showOwn(message.id, message.text);
    sending = sending.then(() => send(message));
  }

  function resume() {
    for (const message of session.unsent) {
      if (message.failed) draft(message.text);
      else queue(message);
    }
  }

  async function send(message) {
    if (message.failed) return;
    const { id, text } = message;
    busy(true);
    for (let tries = 0; tries < SEND_TRIES; tries += 1) {
      try {
        await enter();
        await ask("POST", `/v1/dialogues/${session.dialogue}/messages`, { id, text });
        drop(message);
        return busy(false);
      } catch (problem) {
        if (isGone(problem)) return forget();
        const wait = problem.status === 429 || problem.status === 409 || problem.status >= 500;
        if (problem.status && !wait) break;
        if (problem.code === "dialogue_closed") break;
        if (problem.status === 429) say(words.limited);
        else if (!problem.status) say(words.offline);
        await pause(problem.after * 1_000 || AGAIN_MS[Math.min(tries + 1, AGAIN_MS.length - 1)]);
        if (message.failed) return; // the dialogue is gone, as its reader has seen
      }
    }
    busy(false);
    giveBack(message);
  }

  function drop(message) {
    remember({ unsent: session.unsent.filter((one) => one !== message) });
  }

  // The text goes back into the field. What is on record stays shown, too.
  function giveBack(message) {
    const root = shown.get(message.id)?.root;
    const isUnsent = !root || root.matches(".unsent");
    if (isUnsent) {
      root?.remove();
      shown.delete(message.id);
    }
    message.failed = true;
    remember({});
    // An answer that broke off is never tried again: the same text is a new message then.
    if (root?.nextElementSibling?.matches(":not(.unsent)")) drop(message);
    if (isUnsent || !parts.input.value) draft(message.text);
    say(words.failed);
  }

  function draft(text) {
    parts.input.value = [parts.input.value, text].filter(Boolean).join("\n");
  }

  function busy(is) {
    parts.log.setAttribute("aria-busy", String(is));
    if (is && status === "open") say(words.working);
    else showStatus(status, true);
  }

  async function end() {
    try {
      await ensureDialogue();
      await ask("POST", `/v1/dialogues/${session.dialogue}/close`, {});
      showStatus("closed");
      parts.rating.hidden = false;
      parts.rating.querySelector("button").focus();
    } catch (problem) {
      if (isGone(problem)) forget();
      else say(problem.status === 429 ? words.limited : words.offline);
    }
  }

  async function rate(satisfaction) {
    parts.rating.hidden = true;
    say(words.thanks);
    parts.again.focus();
    await ask("POST", `/v1/dialogues/${session.dialogue}/close`, { satisfaction }).catch(() => {});
  }

  function anew() {
    unfollow();
    remember({ dialogue: null });
    shown.clear();
    parts.log.replaceChildren();
    parts.rating.hidden = true;
    last = "";
    showStatus("open");
    begin();
  }

  // Showing -------------------------------------------------------------------------------------
  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("aria-") || name === "role" || name === "lang") made.setAttribute(name, value);
      else made[name] = value;
    }
    made.append(...children);
    return made;
  }

  function showOwn(id, text) {
    if (shown.has(id)) return; // it is on record, and sent again for its answer
    const message = place(id, "person");
    message.text.textContent = text;
    message.root.classList.add("unsent");
    parts.log.append(message.root);
    scroll();
  }

  function place(number, role) {
    if (shown.has(number)) return shown.get(number);
    const who = { person: words.you, human: words.human }[role] ?? words.assistant;
    const text = element("div", { className: "text" });
    const sources = element("div", { className: "sources", hidden: true });
    const name = element("div", { className: "who", textContent: who });
    const root = element("div", { className: `message ${role}` }, name, text, sources);
    parts.log.insertBefore(root, parts.log.querySelector(".unsent"));
    const made = { root, text, sources };
    shown.set(number, made);
    return made;
  }

  // Each sentence is an element of its own: screen readers read what is new, and no more.
  function showDelta({ number, role, text }) {
    place(number, role).text.append(element("span", { textContent: text }));
    scroll();
  }

  function showMessage(message) {
    const { number, role, client_id: own } = message;
    if (own && shown.has(own)) shown.set(number, shown.get(own));
    const made = place(number, role);
    if (own) shown.set(own, made);
    const { root, text, sources } = made;
    root.classList.remove("unsent");
    const whole = message.text ?? "";
    if (text.textContent !== whole) text.replaceChildren(element("span", { textContent: whole }));
    showSources(sources, message.sources ?? []);
    scroll();
  }

  function showSources(holder, sources) {
    if (!sources.length || holder.childElementCount) return;
    const list = element("ul", {}, ...sources.map((source) => element("li", {}, link(source))));
    holder.append(element("span", { textContent: words.sources }), list);
    holder.hidden = false;
  }

  function link({ title, url }) {
    if (!/^https?:\/\//i.test(url)) return document.createTextNode(title);
    const rel = "noopener noreferrer nofollow";
    return element("a", { href: url, textContent: title, target: "_blank", rel });
  }

  function showStatus(next, keep = false) {
    status = next;
    const closed = ["closed", "unavailable"].includes(status);
    const shown = parts.status.textContent;
    // The event of a dialogue's end may come after its opinion.
    const stays = (keep && shown === words.failed) || (closed && shown === words.thanks);
    if (!stays) say(words[status] ?? "");
    parts.form.hidden = closed;
    parts.end.hidden = closed;
    parts.again.hidden = !closed;
  }

  function say(text) {
    parts.status.textContent = text;
  }

  function scroll() {
    parts.log.scrollTop = parts.log.scrollHeight;
  }

  // The panel -----------------------------------------------------------------------------------
  function build() {
    const host = element("div", { id: "forebay-widget" });
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    parts.host = host;
    parts.launcher = element("button", { type: "button", className: "launcher main", onclick: open });
    parts.title = element("h2", { id: "title" });
    parts.shut = element("button", { type: "button", textContent: "✕", onclick: shut });
    const header = element("header", {}, parts.title, parts.shut);
    parts.log = element("div", { className: "log", role: "log", "aria-live": "polite", tabIndex: 0 });
    parts.status = element("div", { className: "status", role: "status" });
    parts.rating = rating();
    parts.input = element("textarea", { rows: 2, maxLength: LONGEST, id: "text", onkeydown: typed });
    parts.name = element("label", { className: "hidden-text", htmlFor: "text" });
    parts.send = element("button", { type: "submit", className: "main" });
    parts.form = element("form", { onsubmit: submit }, parts.name, parts.input, parts.send);
    parts.end = element("button", { type: "button", onclick: end });
    parts.again = element("button", { type: "button", hidden: true, onclick: anew });
    const footer = element("footer", {}, parts.end, parts.again);
    const children = [header, parts.log, parts.status, parts.rating, parts.form, footer];
    parts.panel = element("section", { className: "panel", role: "dialog", hidden: true }, ...children);
    parts.panel.setAttribute("aria-labelledby", "title");
    parts.panel.addEventListener("keydown", ({ key: pressed }) => pressed === "Escape" && shut());
    root.append(parts.launcher, parts.panel);
    document.body.append(host);
    theme();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
  }

  function rating() {
    const row = element("div");
    for (let n = 1; n <= 5; n += 1) {
      row.append(element("button", { type: "button", textContent: String(n), onclick: () => rate(n) }));
    }
    const text = element("span", { id: "rate" });
    const made = element("div", { className: "rating", role: "group", hidden: true }, text, row);
    made.setAttribute("aria-labelledby", "rate");
    return made;
  }

  function label() {
    parts.host.setAttribute("lang", language === "zh" ? "zh-CN" : "en");
    parts.launcher.textContent = script.dataset.title || words.title;
    parts.launcher.setAttribute("aria-label", words.show);
    parts.title.textContent = script.dataset.title || words.title;
    parts.shut.setAttribute("aria-label", words.hide);
    parts.name.textContent = words.write;
    parts.input.placeholder = words.write;
    parts.send.textContent = words.send;
    parts.end.textContent = words.end;
    parts.again.textContent = words.again;
    parts.rating.firstChild.textContent = words.rate;
    parts.rating.querySelectorAll("button").forEach((one, n) => {
      one.setAttribute("aria-label", words.rating(n + 1));
    });
  }

  function theme() {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    parts.host.dataset.theme = script.dataset.theme || (dark ? "dark" : "light");
  }

  function typed(event) {
    // An input method confirms its characters with Enter, too.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    submit(event);
  }

  function open() {
    remember({ opened: true });
    parts.panel.hidden = false;
    parts.launcher.hidden = true;
    parts.input.focus();
    begin();
  }

  function shut() {
    remember({ opened: false });
    parts.panel.hidden = true;
    parts.launcher.hidden = false;
    parts.launcher.focus();
  }

  async function begin() {
    try {
      await enter();
    } catch (problem) {
      say(problem.status === 429 ? words.limited : words.unavailable);
    }
  }

  async function enter() {
    await ensureDialogue();
    follow();
  }

  function pause(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  // Pages without TLS have no crypto.randomUUID.
  function uuid() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0"));
    return hex.join("").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  function ready() {
    build();
    speak();
    if (session.opened) open();
    resume();
  }

  if (!key) console.error("forebay widget: the script needs data-key, a widget key of your tenant");
  else if (document.body) ready();
  else addEventListener("DOMContentLoaded", ready);
})();
