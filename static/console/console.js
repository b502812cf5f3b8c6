// Small manners of the console: copy buttons, questions before an act that cannot be undone.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https there is no clipboard API: select the text, so that Ctrl-C takes it.
    getSelection().selectAllChildren(source);
    source.select?.();
    if (!document.execCommand("copy")) return;
  }
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1600);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.querySelector("#confirm");
  dialog.querySelector("[data-question]").textContent = form.dataset.confirm;
  dialog.querySelector("[data-yes]").textContent = form.dataset.yes;
  dialog.querySelector("[data-yes]").onclick = () => {
    form.dataset.confirmed = "yes";
    form.requestSubmit();
  };
  tabler.Modal.getOrCreateInstance(dialog).show();
});

// Live figures that no longer arrive must not look live.
for (const trouble of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(trouble, (event) => event.target.classList.add("stalled"));
}
document.addEventListener("htmx:afterOnLoad", (event) => event.target.classList.remove("stalled"));

// On a phone the row of pages is wider than the screen: show where we are.
document.querySelector(".page-tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
