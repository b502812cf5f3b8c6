// Files of the message that is being written: chosen, dropped or pasted, then sent in pieces.
import { details, fileIcon } from "./files.js";
import { at, csrf, data, element, icon, say } from "./page.js";

const KEPT = "chat-files"; // of this tab: ids of files that wait, so that a reload keeps them
const FIT_AFTER_MS = 400;

/**
 * @typedef {{id: string, name: string, kind: string, size: number, pages: number, tokens: number, url: string}} Attached
 * @typedef {{node: HTMLElement, attached: Attached | null, failed: boolean, cancel: AbortController}} Item
 */

export class Attachments extends EventTarget {
  /** @type {Item[]} */
  #items = [];
  #list = at("#files");
  #status = at("#files-status");
  #fit = at("#fit");
  #refusal = "";
  #timer = 0;
  #looks = 0;
  #about = { model: "", conversation: null };

  constructor() {
    super();
    const chooser = at("#file-chooser");
    at("#attach").addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      this.add([...chooser.files]);
      chooser.value = "";
    });
    at("#text").addEventListener("paste", (event) => this.#pasted(event));
    this.#acceptDrops(at("#main"));
    this.#restoreKept();
  }

  // Whether files are still on their way.
  get busy() {
    return this.#items.some((item) => !item.attached && !item.failed);
  }

  // Whether the message has a file, though it may still be on its way.
  get some() {
    return this.#items.some((item) => !item.failed);
  }

  // Why the message cannot be sent with its files; "" if it can.
  get refusal() {
    return this.#refusal;
  }

  /** Takes the files that are ready out of the composer. @returns {Attached[]} */
  take() {
    const taken = this.#ready();
    this.#items = [];
    this.#draw();
    return taken;
  }

  /** Takes these out, which are sent after all. @param {Attached[]} list */
  takeOut(list) {
    const ids = new Set(list.map(({ id }) => id));
    this.#items = this.#items.filter(({ attached }) => !ids.has(attached?.id));
    this.#draw();
  }

  /** Puts files back that could not be sent. @param {Attached[]} list */
  restore(list = []) {
    const known = new Set(this.#ready().map((one) => one.id));
    for (const attached of list) {
      if (!known.has(attached.id)) this.#put(attached);
    }
    this.#draw();
  }

  set model(name) {
    this.#about.model = name;
    this.#look();
  }

  set conversation(id) {
    this.#about.conversation = id;
    this.#look();
  }

  // Says once more why the message cannot be sent.
  remind() {
    this.#tellFit("", true);
    this.#look();
  }

  /** @param {File[]} files */
  add(files) {
    for (const file of files) this.#upload(file);
  }

  #ready() {
    return this.#items.flatMap((item) => item.attached ?? []);
  }

  #put(attached) {
    const item = this.#item(attached.name);
    this.#done(item, attached);
  }

  #item(name) {
    const progress = element("progress", { max: 1, value: 0, "aria-label": name });
    const remove = element(
      "button",
      { type: "button", class: "btn-close", "aria-label": say("remove_file", { name }) },
    );
    const text = element("span", { class: "file-text" }, element("span", { class: "file-name" }, name), element("small"));
    const node = element("li", { class: "file" }, icon("file"), text, progress, remove);
    const item = { node, attached: null, failed: false, cancel: new AbortController() };
    remove.addEventListener("click", () => this.#remove(item));
    this.#items.push(item);
    this.#draw();
    return item;
  }

  #done(item, attached) {
    item.attached = attached;
    item.node.querySelector("progress").remove();
    item.node.querySelector("svg").replaceWith(fileIcon(attached.kind));
    item.node.querySelector("small").textContent = details(attached);
    this.#draw();
  }

  #failed(item, text) {
    item.failed = true;
    item.node.classList.add("is-failed");
    item.node.querySelector("progress").remove();
    item.node.querySelector("small").textContent = text;
    this.#say(text);
    this.#draw();
  }

  async #upload(file) {
    const item = this.#item(file.name);
    try {
      const attached = await sent(file, item.cancel.signal, (share) => {
        item.node.querySelector("progress").value = share;
        if (share === 1) item.node.querySelector("small").textContent = say("reading");
      });
      this.#done(item, attached);
      this.#say(say("attached", { name: attached.name, n: number(attached.tokens) }));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.#failed(item, problem instanceof Refusal ? problem.message : say("file_failed", { name: file.name }));
    }
  }

  async #remove(item) {
    const place = this.#items.indexOf(item);
    item.cancel.abort();
    this.#items = this.#items.filter((one) => one !== item);
    this.#draw();
    const next = this.#items[place] ?? this.#items[place - 1];
    (next?.node.querySelector("button") ?? at("#attach")).focus();
    if (!item.attached) return;
    this.#say(say("file_removed", { name: item.attached.name }));
    await post(`${item.attached.url}removal/`, {}).catch(() => {}); // else it goes after a day
  }

  #draw() {
    this.#list.replaceChildren(...this.#items.map((item) => item.node));
    this.#list.hidden = !this.#items.length;
    keep(this.#ready().map((one) => one.id));
    this.#look();
    this.dispatchEvent(new CustomEvent("change"));
  }

  #say(text) {
    this.#status.textContent = text;
  }

  #pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  #acceptDrops(place) {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    place.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      place.classList.add("is-dropping");
    });
    place.addEventListener("dragleave", (event) => {
      if (!place.contains(event.relatedTarget)) place.classList.remove("is-dropping");
    });
    place.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      place.classList.remove("is-dropping");
      this.add([...event.dataTransfer.files]);
    });
  }

  async #restoreKept() {
    const ids = kept();
    if (!ids.length) return;
    const answer = await fetch(`${data.files}?${new URLSearchParams({ tenant: data.tenant })}`).catch(() => null);
    if (!answer?.ok) return;
    this.restore((await answer.json()).filter((one) => ids.includes(one.id)));
  }

  // Asks the platform whether all of it fits, once nothing has changed for a moment.
  #look() {
    clearTimeout(this.#timer);
    this.#looks += 1;
    const ids = this.#ready().map((one) => one.id);
    if (!ids.length) return this.#tellFit("", true);
    this.#timer = setTimeout(() => this.#askFit(ids), FIT_AFTER_MS);
  }

  async #askFit(ids) {
    const { model, conversation } = this.#about;
    const look = this.#looks;
    const fields = { tenant: data.tenant, model, conversation: conversation ?? "", text: at("#text").value };
    try {
      const { fits, text } = await (await post(data.fit, fields, { attachment: ids })).json();
      if (look === this.#looks) this.#tellFit(text, fits);
    } catch {
      if (look === this.#looks) this.#tellFit("", true); // the platform says it once more when the message comes
    }
  }

  #tellFit(text, fits) {
    this.#refusal = fits ? "" : text;
    this.#fit.textContent = text;
    this.#fit.hidden = !text;
    this.#fit.classList.toggle("text-danger", !fits);
    this.dispatchEvent(new CustomEvent("fit"));
  }
}

class Refusal extends Error {
  constructor(text, code = "") {
    super(text);
    this.code = code;
  }
}

/** Sends a file. @returns {Promise<Attached>} */
async function sent(file, signal, told) {
  if (file.size > data.file_bytes) throw new Refusal(tooLarge(file));
  const begun = await (await post(data.files, { tenant: data.tenant, name: file.name, size: file.size }, {}, signal)).json();
  for (let piece = 0; piece * begun.piece < file.size; piece += 1) {
    const end = Math.min((piece + 1) * begun.piece, file.size);
    await repeat(() => post(begun.pieces, { piece }, { file: [file.slice(piece * begun.piece, end)] }, signal));
    told(end / file.size);
  }
  return (await read(begun.pieces.replace(/pieces\/$/, "end/"), signal)).json();
}

// Has a whole file read, again after a pause while files of others are being read.
async function read(url, signal, times = 10) {
  for (let left = times; ; left -= 1) {
    try {
      return await post(url, {}, {}, signal);
    } catch (problem) {
      if (left === 0 || problem.code !== "reading_busy") throw problem;
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

const tooLarge = ({ name, size }) =>
  say("file_too_large", { name, size: number(size / 1e6), most: number(data.file_bytes / 1e6) });

const number = (value) => value.toLocaleString(data.language, { maximumFractionDigits: 1 });

// A piece may be sent again after a broken connection.
async function repeat(act, times = 4) {
  for (let left = times; ; left -= 1) {
    try {
      return await act();
    } catch (problem) {
      if (left === 0 || !(problem instanceof TypeError)) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** (times - left)));
    }
  }
}

async function post(url, fields, lists = {}, signal = undefined) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  for (const [name, values] of Object.entries(lists)) for (const value of values) body.append(name, value);
  const answer = await fetch(url, { method: "POST", headers: { "X-CSRFToken": csrf }, body, signal });
  if (answer.ok) return answer;
  if (answer.status === 409) {
    const { text, code } = await answer.json();
    throw new Refusal(text, code);
  }
  throw new Error(`HTTP ${answer.status}`);
}

function keep(ids) {
  try {
    if (ids.length) sessionStorage.setItem(KEPT, JSON.stringify(ids));
    else sessionStorage.removeItem(KEPT);
  } catch {
    // The storage is switched off: a reload loses them.
  }
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  } catch {
    return [];
  }
}
