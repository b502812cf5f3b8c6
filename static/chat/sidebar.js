// The list of conversations: newest first, by day; rename and delete.
import { at, csrf, data, element, icon, say } from "./page.js";

const DAY = 86400000;

export class Sidebar extends EventTarget {
  #rows = [];
  #more = false;
  #open = null;
  #list = at("#list");
  #outdated = false;
  #observer = new IntersectionObserver((seen) => seen[0].isIntersecting && this.#older());

  constructor(listing) {
    super();
    this.#take(listing);
    this.#list.addEventListener("click", (event) => this.#clicked(event));
    this.#list.addEventListener("hidden.bs.dropdown", () => this.#outdated && this.#draw());
  }

  mark(id) {
    this.#open = id;
    this.#draw();
  }

  title(id) {
    return this.#rows.find((row) => row.id === id)?.title;
  }

  put(conversation) {
    this.#rows = [conversation, ...this.#rows.filter((row) => row.id !== conversation.id)];
    this.#draw();
  }

  // Reads the newest again; older ones that were already loaded stay.
  async refresh() {
    const fresh = await fetched(data.list, { tenant: data.tenant });
    if (!fresh) return;
    const { conversations, more } = fresh;
    const oldest = conversations.at(-1)?.updated_at ?? "";
    const ids = new Set(conversations.map((row) => row.id));
    const older = more ? this.#rows.filter((r) => r.updated_at < oldest && !ids.has(r.id)) : [];
    this.#take({ conversations: [...conversations, ...older], more: more && this.#hasMore(older) });
  }

  #hasMore(older) {
    return older.length ? this.#more : true;
  }

  async #older() {
    if (!this.#more) return;
    this.#more = false;
    const before = this.#rows.at(-1).updated_at;
    const found = await fetched(data.list, { tenant: data.tenant, before });
    if (found) this.#take({ ...found, conversations: [...this.#rows, ...found.conversations] });
  }

  #take({ conversations, more }) {
    this.#rows = conversations;
    this.#more = more;
    this.#draw();
  }

  // An open menu stays: what changed meanwhile is drawn when it closes.
  #draw() {
    this.#outdated = Boolean(this.#list.querySelector(".dropdown-menu.show"));
    if (this.#outdated) return;
    const focused = document.activeElement?.closest("#list [data-id]")?.dataset.id;
    this.#list.replaceChildren();
    at("#list-empty").hidden = this.#rows.length > 0;
    let group = "";
    let items = null;
    for (const row of this.#rows) {
      const name = when(row.updated_at);
      if (name !== group) {
        group = name;
        items = element("ul", { class: "chat-group" });
        this.#list.append(element("h2", { class: "chat-group-title" }, name), items);
      }
      items.append(this.#item(row));
    }
    if (focused) this.#list.querySelector(`[data-id="${focused}"] a`)?.focus();
    this.#observer.disconnect();
    if (this.#more && this.#list.lastElementChild) {
      this.#observer.observe(this.#list.lastElementChild.lastElementChild);
    }
  }

  #item(row) {
    const here = row.id === this.#open;
    const title = row.title || say("untitled");
    return element(
      "li",
      { class: here ? "chat-item is-open" : "chat-item", "data-id": row.id },
      element("a", { href: row.url, title, "aria-current": here ? "page" : false }, title),
      element(
        "div",
        { class: "dropdown" },
        element(
          "button",
          {
            type: "button",
            class: "chat-item-more",
            "data-bs-toggle": "dropdown",
            "data-bs-popper-config": '{"strategy":"fixed"}',
            "aria-expanded": "false",
            "aria-label": `${say("actions")}: ${title}`,
          },
          icon("dots"),
        ),
        element(
          "div",
          { class: "dropdown-menu dropdown-menu-end" },
          act("rename", "pencil"),
          act("delete", "trash", "text-danger"),
        ),
      ),
    );
  }

  #clicked(event) {
    const id = event.target.closest("[data-id]")?.dataset.id;
    const row = this.#rows.find((one) => one.id === id);
    if (!row) return;
    const wanted = event.target.closest("[data-act]")?.dataset.act;
    if (wanted === "rename") this.#rename(row);
    else if (wanted === "delete") this.#delete(row);
    else if (event.target.closest("a") && !modified(event)) {
      event.preventDefault();
      this.#tell("open", row);
    }
  }

  async #rename(row) {
    const dialog = at("#rename");
    const field = dialog.querySelector("input");
    field.value = row.title;
    if (!(await answered(dialog))) return;
    const renamed = await posted(`${row.url}title/`, { title: field.value });
    if (!renamed?.id) return this.#tell("failed", renamed?.text);
    this.#rows = this.#rows.map((one) => (one.id === row.id ? renamed : one));
    this.#draw();
    this.#tell("renamed", renamed);
  }

  async #delete(row) {
    const dialog = at("#delete");
    const title = row.title || say("untitled");
    dialog.querySelector("[data-question]").textContent = say("delete_question", { title });
    if (!(await answered(dialog))) return;
    this.#tell("deleting", row);
    const answer = await posted(`${row.url}deletion/`, {});
    if (answer !== true) return this.#tell("failed", answer?.text);
    this.#rows = this.#rows.filter((one) => one.id !== row.id);
    this.#draw();
    this.#tell("deleted", row);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function act(name, symbol, classes = "") {
  return element(
    "button",
    { type: "button", class: `dropdown-item ${classes}`, "data-act": name },
    icon(symbol, "dropdown-item-icon"),
    say(name),
  );
}

function answered(dialog) {
  dialog.returnValue = "";
  dialog.querySelector("[data-cancel]").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function when(moment) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const age = midnight - new Date(moment).getTime();
  if (age <= 0) return say("today");
  if (age <= DAY) return say("yesterday");
  return say(age <= 7 * DAY ? "week" : "older");
}

const modified = (event) => event.ctrlKey || event.metaKey || event.shiftKey || event.button;

// Null when there was no answer; `.status` 401 and 404 are left to the caller through `told`.
export async function fetched(url, query = {}, told = () => {}) {
  try {
    const asked = Object.keys(query).length ? `${url}?${new URLSearchParams(query)}` : url;
    const response = await fetch(asked, { headers: { accept: "application/json" } });
    if (!response.ok) told(response.status);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

// Null when there was no answer; with 409 it says why.
async function posted(url, fields) {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "X-CSRFToken": csrf },
      body: new URLSearchParams(fields),
    });
    if (!response.ok && response.status !== 409) return null;
    return response.status === 204 ? true : await response.json();
  } catch {
    return null;
  }
}
