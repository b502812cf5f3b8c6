// How much of the model's context the conversation takes: by the engine's own count of its last answer, or
// by the platform's estimate of a copy that no engine has read yet.
import { at, data, say } from "./page.js";

const NEARLY_FULL = 0.7;

/** @param {number} estimated tokens; 0 if an engine has counted some @param {string} model */
export function gauge(turns, model, estimated) {
  const used = inUse(turns) || estimated;
  const all = data.contexts[model] ?? 0;
  const box = at("#gauge");
  box.hidden = !used || !all;
  const share = all ? Math.min(1, used / all) : 0;
  const answered = turns.some(({ author, text }) => author === "assistant" && text);
  at("#summarise").hidden = share < NEARLY_FULL || !answered;
  if (box.hidden) return;
  const percent = number(share, { style: "percent" });
  const words = say("context_in_use", { share: percent, n: number(used), all: number(all) });
  const meter = box.querySelector("meter");
  meter.value = share;
  meter.title = words;
  meter.setAttribute("aria-label", words);
  box.querySelector("[data-text]").textContent = percent;
  box.title = words;
}

function inUse(turns) {
  const last = turns.findLast(({ figures }) => figures?.prompt_tokens);
  if (!last) return 0;
  const { prompt_tokens: prompt, tokens, reasoning_tokens: reasoning } = last.figures;
  return (last.summary ? 0 : prompt) + tokens - reasoning;
}

const number = (n, style) => new Intl.NumberFormat(document.documentElement.lang, style).format(n);
