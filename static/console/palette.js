// The command palette: Ctrl-K or Cmd-K, then a page, an act, or what the server finds.
// Keyboard and roles are those of the combobox with a list box in ARIA's practices.
(() => {
  const dialog = document.querySelector("#palette");
  if (!dialog) return;
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("#palette-results");
  const status = dialog.querySelector("[role=status]");
  const offered = [...dialog.querySelector("template").content.children].map((link) => ({
    kind: link.dataset.kind,
    label: link.textContent,
    url: link.getAttribute("href"),
  }));
  const MOST = 8; // of what is offered
  const PATIENCE_MS = 150; // after the last key
  let active = -1;
  let asking = null; // an AbortController
  let timer = 0;

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else open();
  });
  document.addEventListener("click", ({ target }) => {
    if (target.closest("[data-palette]")) open();
    else if (target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener("close", forget);
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    const count = list.querySelectorAll("[role=option]").length;
    const to = { ArrowDown: active + 1, ArrowUp: active - 1, Home: 0, End: count - 1 }[event.key];
    if (event.key === "Enter") {
      event.preventDefault();
      list.querySelector("[aria-selected=true]")?.click();
    } else if (event.key === "Escape" && !event.isComposing) {
      event.preventDefault(); // a search field would first only empty itself
      dialog.close();
    } else if (to !== undefined && count) {
      event.preventDefault();
      select((to + count) % count);
    }
  });

  function open() {
    if (document.querySelector(".modal.show")) return; // a question waits for its answer
    input.value = "";
    dialog.showModal();
    search();
  }

  function forget() {
    clearTimeout(timer);
    asking?.abort();
  }

  function search() {
    forget();
    const text = input.value.trim();
    const words = text.toLowerCase().split(/\s+/);
    const local = offered.filter(({ label }) => words.every((word) => label.toLowerCase().includes(word)));
    show(local.slice(0, MOST));
    if (text && dialog.dataset.search) timer = setTimeout(() => ask(text, local.slice(0, MOST)), PATIENCE_MS);
  }

  async function ask(text, local) {
    asking = new AbortController();
    try {
      const query = new URLSearchParams({ q: text });
      const answer = await fetch(`${dialog.dataset.search}?${query}`, { signal: asking.signal });
      if (answer.ok) show([...local, ...(await answer.json()).results]);
    } catch {
      // Aborted by the next key, or offline: what is offered stays.
    }
  }

  function show(results) {
    const chosen = list.querySelector("[aria-selected=true]")?.getAttribute("href");
    list.replaceChildren(...results.map(option));
    const { none, some } = dialog.dataset;
    status.textContent = results.length ? some.replace("{n}", results.length) : none;
    input.setAttribute("aria-expanded", String(results.length > 0));
    select(Math.max(0, results.findIndex(({ url }) => url === chosen)));
  }

  function option({ kind, label, url, detail }, index) {
    const link = Object.assign(document.createElement("a"), { href: url, id: `palette-${index}`, tabIndex: -1 });
    link.setAttribute("role", "option");
    link.setAttribute("aria-selected", "false");
    link.append(part("palette-label", label), part("palette-detail", [detail, kind].filter(Boolean).join(" · ")));
    return link;
  }

  function part(name, text) {
    return Object.assign(document.createElement("span"), { className: name, textContent: text });
  }

  function select(index) {
    active = index;
    [...list.children].forEach((each, at) => each.setAttribute("aria-selected", String(at === index)));
    const chosen = list.children[index];
    if (!chosen) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", chosen.id);
    chosen.scrollIntoView({ block: "nearest" });
  }
})();
