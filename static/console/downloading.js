// Buttons that save a text of the page as a file.
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-download]");
  if (!button) return;
  const source = document.querySelector(button.dataset.download);
  // The mark makes table programs read it as UTF-8.
  const file = new Blob(["\ufeff", source.value ?? source.textContent], { type: "text/csv" });
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(file),
    download: button.dataset.name,
  });
  link.click();
  URL.revokeObjectURL(link.href);
});
