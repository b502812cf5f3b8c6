// The settings of a conversation: system prompt and parameters, and presets of them.
import { at, csrf, data, element, say } from "./page.js";

const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"];

/** @typedef {{system?: string, temperature?: number, top_p?: number, max_tokens?: number, seed?: number, stop?: string[], reasoning_effort?: string}} Settings */
/** @typedef {{id: string, name: string, description: string, model: string, settings: Settings, level: string, team: string, is_default: boolean, editable: boolean}} Preset */

export class ChatSettings extends EventTarget {
  #dialog = at("#settings");
  #form = at("#settings form");
  #problem = at("#settings-problem");
  /** @type {Preset[]} */
  #presets = data.presets;
  /** @type {Settings} */
  #settings = {};
  #conversation = null; // null: one that has not begun

  constructor() {
    super();
    at("#open-settings").addEventListener("click", () => this.#open());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    this.#dialog.querySelector("[data-cancel]").addEventListener("click", () => this.#dialog.close());
    this.#field("preset").addEventListener("change", () => this.#take(this.#chosen()));
    at("#save-preset").addEventListener("click", () => this.#savePreset());
    at("#change-preset").addEventListener("click", () => this.#changePreset());
    at("#remove-preset").addEventListener("click", () => this.#removePreset());
    at("#default-preset").addEventListener("click", () => this.#makeDefault());
  }

  // Another conversation is shown; a new one begins with the tenant's default.
  show(conversation, settings) {
    this.#dialog.close();
    this.#conversation = conversation;
    const preset = conversation ? null : this.#presets.find((one) => one.is_default);
    this.#settings = settings ?? preset?.settings ?? {};
    this.#mark();
    if (preset?.model) this.#tell("model", preset.model);
  }

  // The new conversation has begun with these settings.
  begun(conversation) {
    this.#conversation = conversation;
  }

  /** What a new conversation is to have; null if nothing is set. @returns {Settings | null} */
  get wanted() {
    return Object.keys(this.#settings).length ? this.#settings : null;
  }

  #field(name) {
    return this.#form.elements[name];
  }

  #open() {
    this.#list();
    this.#fill(this.#settings);
    this.#refuse("");
    this.#dialog.showModal();
  }

  #list(chosen = "") {
    const groups = Object.entries(data.preset_levels).map(([level, label]) => {
      const presets = this.#presets.filter((preset) => preset.level === level);
      const options = presets.map((preset) => element("option", { value: preset.id }, this.#named(preset)));
      return presets.length ? element("optgroup", { label }, ...options) : "";
    });
    this.#field("preset").replaceChildren(element("option", { value: "" }, say("no_preset")), ...groups);
    this.#field("preset").value = chosen;
    this.#offer();
  }

  #named(preset) {
    const name = preset.team ? `${preset.name} (${preset.team})` : preset.name;
    return preset.is_default ? say("default_preset", { name }) : name;
  }

  #chosen() {
    return this.#presets.find((preset) => preset.id === this.#field("preset").value) ?? null;
  }

  #offer() {
    const preset = this.#chosen();
    at("#preset-description").textContent = preset?.description ?? "";
    for (const id of ["#change-preset", "#remove-preset"]) at(id).hidden = !preset?.editable;
    const isShared = preset?.level === "tenant" && preset.editable;
    at("#default-preset").hidden = !isShared;
    at("#default-preset").textContent = say(preset?.is_default ? "end_default" : "make_default");
  }

  /** @param {Preset | null} preset */
  #take(preset) {
    if (preset) this.#fill(preset.settings);
    if (preset?.model) this.#tell("model", preset.model);
    this.#field("name").value = preset?.name ?? "";
    this.#field("description").value = preset?.description ?? "";
    this.#offer();
  }

  /** @param {Settings} settings */
  #fill(settings) {
    this.#field("system").value = settings.system ?? "";
    for (const name of NUMBERS) this.#field(name).value = settings[name] ?? "";
    this.#field("stop").value = (settings.stop ?? []).join("\n");
    this.#field("reasoning_effort").value = settings.reasoning_effort ?? "";
  }

  /** @returns {Settings} */
  #read() {
    const settings = {};
    const put = (name, value) => value && Object.assign(settings, { [name]: value });
    put("system", this.#field("system").value.trim());
    for (const name of NUMBERS) {
      const { value } = this.#field(name);
      if (value !== "") settings[name] = Number(value);
    }
    const stop = this.#field("stop").value.split("\n").filter((line) => line.trim());
    if (stop.length) settings.stop = stop;
    put("reasoning_effort", this.#field("reasoning_effort").value);
    return settings;
  }

  async #save() {
    const settings = this.#read();
    const shown = this.#conversation;
    const url = this.#conversation ? `${this.#conversation.url}settings/` : data.settings;
    if (!(await this.#post(url, { settings: JSON.stringify(settings) }))) return;
    if (shown !== this.#conversation) return; // another one is shown by now
    this.#settings = settings;
    this.#mark();
    this.#dialog.close();
  }

  async #savePreset() {
    const [level, team = ""] = this.#field("level").value.split(":");
    const preset = await this.#post(data.preset_list, { ...this.#content(), level, team });
    if (preset) this.#known(preset);
  }

  async #changePreset() {
    const preset = await this.#post(`${data.preset_list}${this.#chosen().id}/`, this.#content());
    if (preset) this.#known(preset);
  }

  async #removePreset() {
    const { id } = this.#chosen();
    if (!(await this.#post(`${data.preset_list}${id}/removal/`, {}))) return;
    this.#presets = this.#presets.filter((preset) => preset.id !== id);
    this.#list();
    this.#field("preset").focus();
  }

  async #makeDefault() {
    const { id, is_default: isDefault } = this.#chosen();
    const preset = await this.#post(`${data.preset_list}${id}/`, { is_default: isDefault ? "" : "on" });
    if (!preset) return;
    for (const other of this.#presets) other.is_default = false;
    this.#known(preset);
  }

  #content() {
    const [name, description] = [this.#field("name").value, this.#field("description").value];
    const model = this.#field("with_model").checked ? at("#model").value : "";
    return { name, description, model, settings: JSON.stringify(this.#read()) };
  }

  #known(preset) {
    this.#presets = [...this.#presets.filter(({ id }) => id !== preset.id), preset];
    this.#list(preset.id);
    this.#refuse(say("preset_saved", { name: preset.name }), { isFine: true });
  }

  // Whether this conversation has settings of its own is seen from outside.
  #mark() {
    at("#open-settings").classList.toggle("is-set", this.wanted !== null);
  }

  async #post(url, fields) {
    this.#refuse("");
    const body = new URLSearchParams({ tenant: data.tenant, ...fields });
    try {
      const answer = await fetch(url, { method: "POST", headers: { "X-CSRFToken": csrf }, body });
      if (answer.status === 204) return true;
      if (answer.ok) return await answer.json();
      this.#refuse(answer.status === 409 || answer.status === 404 ? (await answer.json()).text : say("failed"));
    } catch {
      this.#refuse(say("failed"));
    }
    return null;
  }

  #refuse(text, { isFine = false } = {}) {
    this.#problem.textContent = text;
    this.#problem.classList.toggle("text-danger", !isFine);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
