// A model's pools are dragged into the order in which they are tried; by keyboard, buttons do it.
(() => {
  let dragged = null; // a row
  let before = null; // what followed it when it was taken up
  const rowAt = (event) => event.target.closest?.("tr[data-pool]");

  document.addEventListener("dragstart", (event) => {
    const row = rowAt(event);
    if (!row?.draggable) return;
    dragged = row;
    before = row.nextElementSibling;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", row.dataset.name);
    row.classList.add("dragged");
  });

  document.addEventListener("dragover", (event) => {
    const row = rowAt(event);
    if (!dragged || row?.parentNode !== dragged.parentNode) return;
    event.preventDefault(); // it may be dropped here
    const { top, height } = row.getBoundingClientRect();
    const below = event.clientY > top + height / 2;
    if (row !== dragged) row.parentNode.insertBefore(dragged, below ? row.nextElementSibling : row);
  });

  document.addEventListener("drop", (event) => {
    if (!dragged || dragged.nextElementSibling === before) return;
    event.preventDefault();
    const form = dragged.querySelector("form[data-moving]");
    const behind = form.elements.behind;
    behind.value = dragged.previousElementSibling?.dataset.pool ?? "";
    behind.disabled = false;
    before = dragged.nextElementSibling; // it stays there
    form.submit();
  });

  document.addEventListener("dragend", () => {
    if (!dragged) return;
    dragged.parentNode?.insertBefore(dragged, before);
    dragged.classList.remove("dragged");
    dragged = before = null;
  });

  // Live figures would take the row away from under the mouse.
  document.addEventListener("htmx:beforeRequest", (event) => dragged && event.preventDefault());
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (dragged) event.detail.shouldSwap = false;
  });
})();
