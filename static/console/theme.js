// Light or dark: the system's choice, until the person chooses. Runs before the page is painted.
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
