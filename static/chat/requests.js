// Requests of the chat's page beside its socket.
import { csrf } from "./page.js";

// Null when there was no answer; `onStatus` gets the status of a refusal.
export async function fetched(url, query = {}, onStatus = () => {}) {
  try {
    const address = Object.keys(query).length ? `${url}?${new URLSearchParams(query)}` : url;
    const response = await fetch(address, { headers: { accept: "application/json" } });
    if (!response.ok) onStatus(response.status);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

// Null when there was no answer; with 409 and 429 it says why, in `text`.
export async function posted(url, fields) {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "X-CSRFToken": csrf },
      body: new URLSearchParams(fields),
    });
    if (!response.ok && ![409, 429].includes(response.status)) return null;
    return response.status === 204 ? true : await response.json();
  } catch {
    return null;
  }
}
