// The list of conversations: pinned ones, then the newest by day; what is done with one or several.
import { answered, confirmed, named } from "./dialogs.js";
import { item } from "./listed.js";
import { at, data, element, say } from "./page.js";
import { fetched, posted } from "./requests.js";
import { Shelves } from "./shelves.js";

export { fetched };

const DAY = 86400000;
const sharing = () => import("./sharing.js"); // of which a first visit has none

export class Sidebar extends EventTarget {
  #rows = [];
  #pinned = [];
  #more = false;
  #isReading = false; // older ones
  #revision = 0; // of the list: what was read under an older one is outdated
  #open = null;
  #selected = null; // ids while several are selected
  #list = at("#list");
  #outdated = false;
  #shelves = new Shelves();
  #observer = new IntersectionObserver((seen) => seen[0].isIntersecting && this.#older());

  constructor(listing) {
    super();
    this.#take(listing);
    this.#list.addEventListener("click", (event) => this.#clicked(event));
    this.#list.addEventListener("hidden.bs.dropdown", () => this.#outdated && this.#draw());
    this.#shelves.addEventListener("changed", () => {
      this.#revision += 1;
      this.#reread();
    });
    this.#shelves.addEventListener("failed", ({ detail }) => this.#tell("failed", detail));
    at("#select").addEventListener("click", () => this.#select(this.#selected ? null : new Set()));
    at("#show-shares").addEventListener("click", async () => (await sharing()).showShares());
    at("#select-archive").addEventListener("click", () => this.#archiveSelected());
    at("#select-delete").addEventListener("click", () => this.#deleteSelected());
  }

  mark(id) {
    this.#open = id;
    this.#draw();
  }

  title(id) {
    return this.#all().find((row) => row.id === id)?.title;
  }

  put(conversation) {
    if (conversation.pinned || Object.keys(this.#shelves.query).length) return this.refresh();
    this.#revision += 1;
    this.#rows = [conversation, ...this.#rows.filter((row) => row.id !== conversation.id)];
    this.#draw();
  }

  // Reads the newest again; older ones that were already loaded stay.
  async refresh() {
    const fresh = await this.#newest();
    if (!fresh) return;
    const { conversations, more } = fresh;
    const oldest = conversations.at(-1)?.updated_at ?? "";
    const ids = new Set([...conversations, ...fresh.pinned].map((row) => row.id));
    const older = more ? this.#rows.filter((r) => r.updated_at < oldest && !ids.has(r.id)) : [];
    const further = more && (older.length ? this.#more : true);
    this.#take({ ...fresh, conversations: [...conversations, ...older], more: further });
  }

  #page(query = {}) {
    return fetched(data.list, { tenant: data.tenant, ...this.#shelves.query, ...query });
  }

  // The first page; once more where the list has changed while it was read.
  async #newest() {
    for (;;) {
      const before = this.#revision;
      const page = await this.#page();
      if (!page || before === this.#revision) return page;
    }
  }

  async #reread() {
    const fresh = await this.#newest();
    if (fresh) this.#take(fresh);
  }

  async #older() {
    if (!this.#more || this.#isReading) return;
    this.#isReading = true;
    const before = this.#revision;
    const page = await this.#page({ before: this.#rows.at(-1).updated_at });
    this.#isReading = false;
    if (before !== this.#revision) return this.#draw(); // its end is looked at anew
    if (page) this.#take({ ...page, conversations: [...this.#rows, ...page.conversations] });
  }

  #take({ conversations, more, pinned, folders }) {
    this.#revision += 1;
    this.#rows = conversations;
    this.#more = more;
    if (pinned) this.#pinned = pinned;
    if (folders) this.#shelves.folders = folders;
    this.#draw();
  }

  #all() {
    return [...this.#pinned, ...this.#rows];
  }

  // An open menu stays: what changed meanwhile is drawn when it closes.
  #draw() {
    this.#outdated = Boolean(this.#list.querySelector(".dropdown-menu.show"));
    if (this.#outdated) return;
    const focused = document.activeElement?.closest("#list [data-id]")?.dataset.id;
    this.#list.replaceChildren();
    this.#drawEmpty();
    if (this.#pinned.length) this.#group(say("pinned"), this.#pinned);
    for (const [name, rows] of byDay(this.#rows)) this.#group(name, rows);
    if (focused) this.#list.querySelector(`[data-id="${focused}"] a`)?.focus();
    this.#observer.disconnect();
    if (this.#more && this.#list.lastElementChild) {
      this.#observer.observe(this.#list.lastElementChild.lastElementChild);
    }
  }

  #drawEmpty() {
    const empty = at("#list-empty");
    empty.hidden = this.#all().length > 0;
    empty.textContent = Object.keys(this.#shelves.query).length ? say("none_here") : say("none_yet");
  }

  #group(name, rows) {
    const items = rows.map((row) => {
      const selected = this.#selected && this.#selected.has(row.id);
      return item(row, { open: this.#open, selected });
    });
    const list = element("ul", { class: "chat-group" }, ...items);
    this.#list.append(element("h2", { class: "chat-group-title" }, name), list);
  }

  #clicked(event) {
    const id = event.target.closest("[data-id]")?.dataset.id;
    const row = this.#all().find((one) => one.id === id);
    if (!row) return;
    const act = event.target.closest("[data-act]")?.dataset.act;
    if (event.target.closest("[data-download]")) return;
    if (act) this.#acts[act](row);
    else if (this.#selected) this.#choose(event, row);
    else if (event.target.closest("a") && !modified(event)) {
      event.preventDefault();
      this.#tell("open", row);
    }
  }

  #acts = {
    pin: (row) => this.#change(row, "pin", { on: "yes" }),
    unpin: (row) => this.#change(row, "pin", { on: "" }),
    archive: (row) => this.#change(row, "archive", { on: "yes" }),
    unarchive: (row) => this.#change(row, "archive", { on: "" }),
    move: (row) => this.#move(row),
    rename: (row) => this.#rename(row),
    share: async (row) => {
      const problem = await (await sharing()).share(row);
      if (problem) this.#tell("failed", problem);
    },
    delete: (row) => this.#delete(row),
  };

  async #change(row, what, fields) {
    const changed = await posted(`${row.url}${what}/`, fields);
    if (!changed?.id) return this.#tell("failed", changed?.text);
    this.refresh();
  }

  async #move(row) {
    const dialog = at("#move");
    const select = dialog.querySelector("select");
    const option = (id, text) => element("option", { value: id }, text);
    const folders = this.#shelves.folders.map(({ id, name }) => option(id, name));
    const none = option("", say("no_folder"));
    select.replaceChildren(none, ...folders, option("new", `${say("new_folder")}…`));
    select.value = row.folder ?? "";
    if (!(await answered(dialog))) return;
    const folder = select.value === "new" ? (await this.#shelves.create())?.id : select.value;
    if (folder !== undefined) this.#change(row, "folder", { folder });
  }

  async #rename(row) {
    const title = await named(say("rename_chat"), row.title, say("rename"));
    if (!title) return;
    const renamed = await posted(`${row.url}title/`, { title });
    if (!renamed?.id) return this.#tell("failed", renamed?.text);
    this.#revision += 1;
    const replaced = (rows) => rows.map((one) => (one.id === row.id ? renamed : one));
    [this.#rows, this.#pinned] = [replaced(this.#rows), replaced(this.#pinned)];
    this.#draw();
    this.#tell("renamed", renamed);
  }

  async #delete(row) {
    const title = row.title || say("untitled");
    if (!(await confirmed(say("delete_question", { title })))) return;
    this.#tell("deleting", row);
    const answer = await posted(`${row.url}deletion/`, {});
    if (answer !== true) return this.#tell("failed", answer?.text);
    this.#gone([row.id]);
  }

  // Several at once ---------------------------------------------------------------------------
  #select(selected) {
    this.#selected = selected;
    at("#select").setAttribute("aria-pressed", String(Boolean(selected)));
    at("#selection").hidden = !selected;
    this.#draw();
    this.#count();
  }

  #choose(event, row) {
    if (event.target.closest("a")) event.preventDefault();
    if (!this.#selected.delete(row.id)) this.#selected.add(row.id);
    const box = event.target.closest("[data-id]").querySelector("input");
    box.checked = this.#selected.has(row.id);
    this.#count();
  }

  #count() {
    const n = this.#selected?.size ?? 0;
    at("#selected").textContent = say("selected", { n });
    at("#select-delete").disabled = at("#select-archive").disabled = !n;
  }

  async #archiveSelected() {
    const rows = this.#all().filter((row) => this.#selected.has(row.id));
    this.#select(null);
    for (const row of rows) {
      const changed = await posted(`${row.url}archive/`, { on: "yes" });
      if (!changed?.id) return this.#tell("failed", changed?.text);
    }
    this.refresh();
  }

  async #deleteSelected() {
    const ids = [...this.#selected];
    if (!(await confirmed(say("delete_many_question", { n: ids.length })))) return;
    const fields = [["tenant", data.tenant], ...ids.map((id) => ["conversation", id])];
    const report = await posted(data.deletions, fields);
    if (!report?.deleted) return this.#tell("failed", report?.text);
    this.#select(null);
    this.#gone(report.deleted);
    if (report.not_deleted.length) this.#tell("failed", notDeleted(report));
    this.refresh();
  }

  #gone(ids) {
    const open = this.#all().find((row) => row.id === this.#open);
    this.#revision += 1;
    const remaining = (rows) => rows.filter((row) => !ids.includes(row.id));
    [this.#rows, this.#pinned] = [remaining(this.#rows), remaining(this.#pinned)];
    this.#draw();
    for (const id of ids) this.#tell("deleted", { ...open, id });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function notDeleted({ deleted, not_deleted: remaining }) {
  const titles = remaining.map(({ title }) => title || say("untitled")).join(", ");
  const why = [...new Set(remaining.map(({ problem }) => problem.text))].join(" ");
  const parts = [say("deleted_many", { n: deleted.length }), say("kept_many", { n: remaining.length, titles, why })];
  return parts.join(" ");
}

function byDay(rows) {
  const groups = new Map();
  for (const row of rows) {
    const name = when(row.updated_at);
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  return groups;
}

function when(moment) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const age = midnight - new Date(moment).getTime();
  if (age <= 0) return say("today");
  if (age <= DAY) return say("yesterday");
  return say(age <= 7 * DAY ? "week" : "older");
}

const modified = (event) => event.ctrlKey || event.metaKey || event.shiftKey || event.button;
