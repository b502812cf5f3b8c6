// What went wrong, above the text field; and the state of the connection, above the messages.
import { at, data, say } from "./page.js";
import { renewal } from "./quotas.js";

const GRACE_MS = 800; // a short break is nobody's business
let banner = 0;
let countdown = 0;
let lastWord = null; // why all fails from now on

// `renews`: a quota does after `retryAfter` seconds, which is told by the clock. `untilAnswered`: it goes with the answer's end.
export function notice(text, options = {}) {
  if (lastWord) inBox(lastWord.text, lastWord);
  else inBox(text, options);
}

function inBox(text, { retryAfter = 0, action = null, renews = false, untilAnswered = false }) {
  const box = at("#notice");
  box.classList.toggle("until-answered", untilAnswered);
  clearInterval(countdown);
  box.hidden = false;
  const link = box.querySelector("[data-action]");
  link.hidden = !action;
  if (action) {
    link.href = action.href ?? "#";
    link.role = action.run ? "button" : null;
    link.textContent = action.text;
    link.onclick = action.run && ((event) => event.preventDefault() || action.run());
  }
  if (!retryAfter) return write(box, text);
  if (renews) return write(box, `${text} ${renewal(Date.now() + retryAfter * 1000)}`);
  let left = retryAfter;
  const tick = () => {
    if (left <= 0) return quiet();
    write(box, `${text} ${say("again_in", { when: inTime(left--) })}`);
  };
  tick();
  countdown = setInterval(tick, 1000);
}

// "in 45 seconds", "in 19 hours": in the page's language, and never finer than is of use.
function inTime(seconds) {
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
  if (seconds < 90) return words.format(seconds, "second");
  if (seconds < 90 * 60) return words.format(Math.ceil(seconds / 60), "minute");
  if (seconds < 36 * 3600) return words.format(Math.ceil(seconds / 3600), "hour");
  return words.format(Math.ceil(seconds / 86400), "day");
}

export function quiet() {
  clearInterval(countdown);
  at("#notice").hidden = true;
}

export function answered() {
  if (at("#notice").classList.contains("until-answered")) quiet();
}

export function signedOut() {
  const back = encodeURIComponent(location.pathname);
  last("signed_out", `/login/?next=${back}`, "reload");
}

export function noMember() {
  last("no_member", data.home);
}

export function tenantClosed() {
  last("tenant_closed", data.home);
}

export function tooMany() {
  last("too_many", location.href);
}

function last(word, href, way = "try_again") {
  lastWord = { text: say(word), action: { href, text: say(way) } };
  inBox(lastWord.text, lastWord);
}

export function lost(online) {
  clearTimeout(banner);
  banner = setTimeout(() => {
    const box = at("#banner");
    box.hidden = false;
    write(box, say(online ? "reconnecting" : "offline"));
  }, GRACE_MS);
}

export function back() {
  clearTimeout(banner);
  at("#banner").hidden = true;
}

function write(box, text) {
  box.querySelector("[data-text]").textContent = text;
}

at("#notice [data-close]").addEventListener("click", quiet);
