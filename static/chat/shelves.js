// Which conversations the list shows: all, a folder, or the archive; and the folders themselves.
import { confirmed, named } from "./dialogs.js";
import { at, data, element, say } from "./page.js";
import { posted } from "./requests.js";

export class Shelves extends EventTarget {
  #select = at("#shelf");
  #folders = [];

  constructor() {
    super();
    this.#select.addEventListener("change", () => this.#chosen());
    at("#folder-rename").addEventListener("click", () => this.#rename());
    at("#folder-delete").addEventListener("click", () => this.#delete());
  }

  set folders(folders) {
    this.#folders = folders;
    this.#draw(this.#select.value);
  }

  get folders() {
    return this.#folders;
  }

  // What the list asks the platform for.
  get query() {
    if (this.#select.value === "archived") return { archived: "yes" };
    return this.#select.value ? { folder: this.#select.value } : {};
  }

  // Makes a folder; resolves to it, or to null.
  async create() {
    const name = await named(say("new_folder"), "", say("new_folder"));
    if (!name) return null;
    const folder = await posted(data.folders, { name, tenant: data.tenant });
    if (folder?.id) this.folders = [...this.#folders, folder];
    else this.#fail(folder);
    return folder?.id ? folder : null;
  }

  #draw(value) {
    const option = (id, text) => element("option", { value: id }, text);
    const folders = this.#folders.map(({ id, name }) => option(id, name));
    const options = [option("", say("all_chats")), ...folders, option("archived", say("archived"))];
    this.#select.replaceChildren(...options, option("new", `${say("new_folder")}…`));
    this.#select.value = options.some((each) => each.value === value) ? value : "";
    at("#folder-acts").hidden = !this.#folder();
  }

  async #chosen() {
    if (this.#select.value === "new") {
      const folder = await this.create();
      this.#select.value = folder?.id ?? "";
    }
    at("#folder-acts").hidden = !this.#folder();
    this.dispatchEvent(new Event("changed"));
  }

  #folder() {
    return this.#folders.find(({ id }) => id === this.#select.value);
  }

  async #rename() {
    const folder = this.#folder();
    const name = await named(say("rename_folder"), folder.name, say("rename"));
    if (!name) return;
    const renamed = await posted(`${data.folders}${folder.id}/name/`, { name });
    if (!renamed?.id) return this.#fail(renamed);
    this.folders = this.#folders.map((each) => (each.id === renamed.id ? renamed : each));
  }

  async #delete() {
    const folder = this.#folder();
    if (!(await confirmed(say("delete_folder_question", { title: folder.name })))) return;
    const answer = await posted(`${data.folders}${folder.id}/deletion/`, {});
    if (!answer || answer.text) return this.#fail(answer);
    this.folders = this.#folders.filter(({ id }) => id !== folder.id);
    this.#chosen();
  }

  #fail(answer) {
    this.dispatchEvent(new CustomEvent("failed", { detail: answer?.text }));
  }
}
