// A plain script in the head, so that the theme is set before the first paint.
(() => {
  const root = document.documentElement;
  let stored = null;
  try {
    stored = localStorage.getItem("theme");
  } catch {
    // Storage may be forbidden; the system's preference still holds.
  }
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  root.dataset.theme = stored === "light" || stored === "dark" ? stored : system;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const label = () => {
      const other = root.dataset.theme === "dark" ? "Light theme" : "Dark theme";
      button.setAttribute("aria-label", other);
      button.title = other;
    };
    label();
    button.addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      label();
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // The choice then lasts until the page is left.
      }
    });
  });
})();
