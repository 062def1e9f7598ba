// What the browser keeps between visits: theme and language, never a key.

/** The value, or `null` also where storage is off. */
export function stored(name) {
  try {
    return localStorage.getItem(`phial.${name}`);
  } catch {
    return null;
  }
}

/** Keeps a value; `null` forgets it. */
export function store(name, value) {
  try {
    if (value === null) localStorage.removeItem(`phial.${name}`);
    else localStorage.setItem(`phial.${name}`, value);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
}
