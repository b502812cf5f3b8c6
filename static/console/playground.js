// The playground: one prompt to several models at once, each over a socket of its own.
const form = document.querySelector("#playground");
const open = new Set(); // sockets of the present run

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  stop();
  const fields = Object.fromEntries(
    [...new FormData(form)].filter(([name, value]) => value && !/^(model-|code-|csrf)/.test(name)),
  );
  for (const column of form.querySelectorAll("[data-column]")) {
    clear(column);
    const model = column.querySelector("select").value;
    if (model) run(column, model, fields);
  }
});

// The choice of a language does not change the request.
document.querySelector("#code")?.addEventListener("change", (event) => event.stopPropagation());

form?.querySelector("[data-stop]").addEventListener("click", stop);

function stop() {
  for (const socket of open) {
    tell(socket.column, form.dataset.stopped);
    end(socket);
  }
}

function end(socket) {
  socket.onclose = socket.onmessage = null;
  socket.close();
  open.delete(socket);
  socket.column.removeAttribute("aria-busy");
  form.querySelector("[data-stop]").hidden = !open.size;
}

function clear(column) {
  column.querySelector("[data-answer]").textContent = "";
  const reasoning = column.querySelector("[data-reasoning]");
  reasoning.hidden = column.querySelector("[data-request]").hidden = true;
  reasoning.lastElementChild.textContent = "";
  tell(column, "");
}

function run(column, model, fields) {
  const query = new URLSearchParams({ tenant: form.dataset.tenant, language: document.documentElement.lang });
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/ws/playground/?${query}`);
  Object.assign(socket, { column, began: performance.now(), first: 0, tokens: 0, reason: "", calls: [], failed: false });
  open.add(socket);
  column.setAttribute("aria-busy", "true");
  form.querySelector("[data-stop]").hidden = false;
  tell(column, form.dataset.sending);
  socket.onopen = () => socket.send(JSON.stringify({ model, fields }));
  socket.onmessage = ({ data }) => heard(socket, JSON.parse(data));
  socket.onclose = ({ code }) => {
    if (!socket.failed) tell(column, form.dataset[`closed-${code}`] ?? form.dataset.lost);
    end(socket);
  };
}

function heard(socket, message) {
  const { column } = socket;
  const { dataset } = form;
  if (message.type === "started") {
    const link = column.querySelector("[data-request]");
    link.href = dataset.requestUrl.replace(/[0-]{36}/, message.request);
    link.hidden = false;
  } else if (message.type === "waiting") {
    tell(column, message.before ? filled(dataset.waiting, { n: message.before }) : dataset.next);
  } else if (message.type === "events") {
    for (const chunk of message.chunks) grow(socket, chunk);
  } else if (message.type === "error") {
    socket.failed = true;
    tell(column, filled(dataset.failed, message));
  } else if (message.type === "end") {
    if (!socket.failed) tell(column, done(socket));
    end(socket);
  }
}

function grow(socket, { choices = [], usage }) {
  const { column } = socket;
  if (usage) socket.tokens = usage.completion_tokens;
  for (const { delta = {}, finish_reason: reason } of choices) {
    const thought = delta.reasoning_content ?? delta.reasoning;
    if (!socket.first && (delta.content || thought || delta.tool_calls)) socket.first = performance.now();
    if (thought) think(column, thought);
    if (delta.content) write(column, delta.content);
    for (const call of delta.tool_calls ?? []) gather(socket, call);
    socket.reason = reason ?? socket.reason;
  }
}

function think(column, text) {
  const reasoning = column.querySelector("[data-reasoning]");
  reasoning.hidden = false;
  reasoning.lastElementChild.append(text);
  tell(column, form.dataset.thinking);
}

function write(column, text) {
  column.querySelector("[data-answer]").append(text);
  tell(column, "");
}

// A call arrives in pieces: its name first, then its arguments.
function gather(socket, { index = 0, function: piece = {} }) {
  const call = (socket.calls[index] ??= { name: "", arguments: "" });
  call.name += piece.name ?? "";
  call.arguments += piece.arguments ?? "";
  const text = socket.calls.map((each) => `${each.name}(${each.arguments})`).join("\n");
  socket.column.querySelector("[data-answer]").textContent = text;
  tell(socket.column, "");
}

function done({ began, first, tokens, reason }) {
  const { dataset } = form;
  const seconds = (from, to) => ((to - from) / 1000).toFixed(1);
  const end = filled(form.getAttribute(`data-end-${reason}`) ?? dataset.end, { reason });
  const now = performance.now();
  return filled(dataset.done, { tokens, seconds: seconds(began, now), first: first ? seconds(began, first) : "–", end });
}

function tell(column, text) {
  const told = column.querySelector("[data-told]"); // is read out when it changes
  if (told.textContent !== text) told.textContent = text;
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
