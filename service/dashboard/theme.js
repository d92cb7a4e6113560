// Light, dark, or as the system has it. A classic script in the head, so that the first paint is in the right colours.

(() => {
  const KEY = "plb-theme";
  const NEXT = { auto: "light", light: "dark", dark: "auto" };
  const chosen = () => localStorage.getItem(KEY) ?? "auto";

  function apply(theme) {
    document.documentElement.style.colorScheme = theme === "auto" ? "light dark" : theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${theme}`;
    window.dispatchEvent(new Event("themechange"));
  }

  apply(chosen());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new Event("themechange")));
  document.addEventListener("DOMContentLoaded", () => {
    apply(chosen());
    document.getElementById("theme").addEventListener("click", () => {
      localStorage.setItem(KEY, NEXT[chosen()]);
      apply(chosen());
    });
  });
})();
