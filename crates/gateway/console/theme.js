// Runs before the first paint, so that a chosen theme does not flash in the other one.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("phial.theme");
  } catch {
    // Storage is off: the system's theme it is.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
