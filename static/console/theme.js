// Light or dark: the system's choice, until the person chooses. Runs before the page is painted.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("theme") || "system";
  const apply = () => {
    const dark = chosen() === "dark" || (chosen() === "system" && system.matches);
    document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
    document.documentElement.dataset.themeChoice = chosen();
    document.dispatchEvent(new CustomEvent("theme"));
  };
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]:not(html)");
    if (!button) return;
    localStorage.setItem("theme", button.dataset.themeChoice);
    apply();
  });
  apply();
})();
