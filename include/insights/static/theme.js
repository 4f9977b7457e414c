// Airflow keeps its theme in localStorage: light, dark or system. Before the first paint, so that nothing flashes.
(function () {
  "use strict";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function kept() {
    try {
      return window.localStorage.getItem("theme");
    } catch {
      return null; // no storage where cookies are blocked
    }
  }

  function apply() {
    const theme = kept();
    const isDark = theme === "dark" || (theme !== "light" && dark.matches);
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    document.dispatchEvent(new CustomEvent("theme"));
  }

  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply); // Airflow's own switch, in the frame around
})();
