// Light or dark: the system's choice, until the person chooses. And how close the rows of tables
// stand. Runs before the page is painted.
// Tells the platform the reader's time zone too: the next page has its times in it.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const secure = location.protocol === "https:" ? "; secure" : "";
  if (zone && document.documentElement.dataset.timeZone !== zone)
    document.cookie = `forebay_time_zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("theme") || "system";
  const apply = () => {
    const dark = chosen() === "dark" || (chosen() === "system" && system.matches);
    document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
    document.documentElement.dataset.themeChoice = chosen();
    document.documentElement.dataset.rows = localStorage.getItem("rows") || "comfortable";
    document.dispatchEvent(new CustomEvent("theme"));
  };
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-theme-choice], button[data-rows-choice]");
    if (!button) return;
    const { themeChoice, rowsChoice } = button.dataset;
    if (themeChoice) localStorage.setItem("theme", themeChoice);
    else localStorage.setItem("rows", rowsChoice);
    apply();
  });
  apply();
})();
