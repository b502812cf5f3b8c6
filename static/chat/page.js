// What the server gave the page, and small ways to build elements. No markup is made from strings.
export { uuid } from "../console/uuid.js"; // for the chat.js of 0.1.0, which a browser may still have

const root = document.querySelector("#chat");

export const data = JSON.parse(document.querySelector("#chat-data").textContent);
export const csrf = root.querySelector("[name=csrfmiddlewaretoken]").value;
export const at = (selector) => root.querySelector(selector);

const plurals = new Intl.PluralRules(document.documentElement.lang);

// The singular, where there is one: views_one for views.
export function say(key, values = {}) {
  const one = plurals.select(Number(values.n ?? values.left)) === "one";
  return ((one && data.words[`${key}_one`]) || data.words[key]).replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function icon(name, classes = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `icon ${classes}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${root.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

for (const use of root.querySelectorAll("use[data-icon]")) {
  use.setAttribute("href", `${root.dataset.icons}#${use.dataset.icon}`);
}
