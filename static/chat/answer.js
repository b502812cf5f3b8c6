// One answer: grows piece by piece, each piece exactly once.
import { answerActions, wayOut } from "./actions.js";
import { announce, Announcer } from "./announcer.js";
import { Growing } from "./markdown.js";
import { element, icon, say } from "./page.js";
import { ratingButtons } from "./rating.js";
import { parted, Reasoning } from "./reasoning.js";

const RENDER_MS = 50;
const NOTES = { cancelled: "stopped", length: "length", content_filter: "filtered" };

export class Answer {
  #applied = 0; // number of the last piece taken
  #text = ""; // as it came, perhaps with the reasoning in it
  #thought = ""; // what came as reasoning
  #timer = 0;
  #before; // the text that it continues, which counts as its own
  #announcer = new Announcer();

  constructor(turn, onGrow) {
    this.turn = turn;
    this.#before = turn.before ?? { text: "", reasoning: "" };
    this.id = turn.id;
    this.streaming = turn.streaming;
    this.rating = turn.rating ?? 0;
    this.unconfirmed = turn.unconfirmed; // not yet known to the platform
    this.onGrow = onGrow;
    this.body = element("div", { class: "markdown" });
    this.reasoning = new Reasoning(this.body);
    this.foot = element("div", { class: "turn-foot" });
    this.node = element(
      "article",
      { class: "turn answer", "data-message": turn.id, "aria-label": say("assistant") },
      ...(turn.notice ? [element("p", { class: "turn-note turn-notice" }, icon("scissors"), turn.notice)] : []),
      this.body,
      this.foot,
    );
    this.growing = new Growing(this.body);
    if (turn.streaming) this.#wait();
    else {
      this.#keep(turn);
      this.#show(turn);
    }
  }

  get applied() {
    return this.#applied;
  }

  get text() {
    return this.#before.text + parted(this.#text, this.#thought).text;
  }

  get #reasoning() {
    return this.#before.reasoning + parted(this.#text, this.#thought).reasoning;
  }

  // Other messages have come into its place, or gone.
  place(turn) {
    Object.assign(this.turn, { siblings: turn.siblings, sibling: turn.sibling });
    if (!this.streaming) this.#foot();
  }

  // False when pieces are missing in between: follow again from `applied`.
  take({ event, pieces, reasoning = [] }) {
    if (!this.streaming) return true;
    const known = this.#applied - (event - pieces.length);
    if (known < 0) return false;
    const fresh = pieces.slice(known);
    if (!fresh.length) return true;
    this.#applied = event;
    this.#keep({
      text: this.#text + fresh.join(""),
      reasoning: this.#thought + reasoning.slice(known).join(""),
    });
    if ((this.#text || this.#thought) && !this.#timer) this.#timer = setTimeout(() => this.#render(), RENDER_MS);
    return true;
  }

  // How many go before it, and in how many seconds it may begin; 0 where nobody knows.
  queued({ before: n, seconds }) {
    const line = this.body.querySelector(".waiting");
    if (!line) return;
    const key = n ? (seconds ? "in_line_for" : "in_line") : "next_in_line";
    line.textContent = say(key, { n, time: seconds && inWords(seconds) });
  }

  // The stored text stands in for pieces that are no longer kept.
  replace(said) {
    if (this.streaming) this.#keep(said);
  }

  end(turn) {
    if (!this.streaming) return;
    this.#show(turn);
    this.#announcer.end(this.text, this.foot.querySelector(".turn-note")?.textContent);
  }

  #keep({ text, reasoning = "" }) {
    this.#text = text.replaceAll("\r", "");
    this.#thought = reasoning.replaceAll("\r", "");
  }

  #wait() {
    this.node.setAttribute("aria-busy", "true");
    this.node.classList.add("streaming");
    const dots = element("span", { class: "waiting" }, say("waiting"));
    this.body.replaceChildren(dots);
    announce(say("waiting"));
  }

  #render() {
    this.#timer = 0;
    if (!this.streaming) return;
    const { text, reasoning } = parted(this.#text, this.#thought);
    if (text || reasoning) this.body.querySelector(".waiting")?.remove();
    this.reasoning.show(this.#reasoning, { thinking: !text, final: false });
    if (text) {
      this.growing.show(this.text);
      this.#announcer.grow(this.text);
    }
    this.onGrow();
  }

  #show({ finish_reason, figures, error }) {
    clearTimeout(this.#timer);
    this.streaming = false;
    Object.assign(this.turn, { finish_reason, figures, error, text: this.text });
    this.reasoning.show(this.#reasoning, { thinking: false, final: true, figures });
    this.growing.finish(this.text);
    this.node.classList.remove("streaming");
    this.node.removeAttribute("aria-busy");
    this.#foot();
    this.onGrow();
  }

  #foot() {
    const { finish_reason: reason, figures, error } = this.turn;
    const ways = this.unconfirmed ? [] : wayOut(this.turn, this.text);
    this.foot.replaceChildren(...this.#notes(reason, error), ...ways, ...this.#extras(figures));
  }

  #notes(reason, error) {
    const text = error?.text ?? (NOTES[reason] && say(NOTES[reason]));
    if (!text) return [];
    const kind = error ? "turn-note is-error" : "turn-note";
    return [element("p", { class: kind }, ...(error ? [icon("alert")] : []), text)];
  }

  #extras(figures) {
    const line = element("div", { class: "turn-extras" });
    line.append(...answerActions(this.turn, this.text));
    if (this.text) line.append(...ratingButtons(this));
    if (figures?.tokens) line.append(element("span", { class: "figures" }, figuresLine(figures)));
    return line.childElementCount ? [line] : [];
  }
}

function inWords(seconds) {
  const [n, unit] = seconds < 90 ? [seconds, "second"] : [Math.ceil(seconds / 60), "minute"];
  const { lang } = document.documentElement;
  return new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(n);
}

function figuresLine({ tokens, ttft_ms: first, tokens_per_second: speed, pool, hosted }) {
  const parts = [say("tokens", { n: tokens })];
  if (speed) parts.push(say("speed", { n: speed }));
  if (first != null) parts.push(say("first_token", { t: duration(first) }));
  if (pool) parts.push(say("served_by", { pool }));
  if (hosted) parts.push(say("left"));
  return parts.join(" · ");
}

function duration(ms) {
  if (ms < 1000) return say("ms", { n: ms });
  return say("seconds", { n: (ms / 1000).toFixed(1) });
}
