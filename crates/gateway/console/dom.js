// Builds elements. Text stays text: nothing here parses HTML, and no style is written as text, so
// that the strictest content security policy holds.

const SVG = "http://www.w3.org/2000/svg";

/** Set as properties: as attributes they are only the first value. */
const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "open", "readOnly", "selected"]);

/**
 * An element from `tag.class.class`, optional properties, and children.
 *
 * Properties: `on…` listens, `dataset` and `vars` (custom CSS properties) take objects, the rest are
 * attributes. `null`, `undefined` and `false` are left out, among children too.
 */
export function h(selector, ...rest) {
  const [tag, ...classes] = selector.split(".");
  return fill(document.createElement(tag || "div"), classes, rest);
}

/** The same for the elements of a picture. */
export function svg(selector, ...rest) {
  const [tag, ...classes] = selector.split(".");
  return fill(document.createElementNS(SVG, tag), classes, rest);
}

/** Puts `children` in the place of what was inside. */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A number of its own for each call, to tie labels to what they name. */
export function uniqueId(prefix) {
  uniqueId.last = (uniqueId.last ?? 0) + 1;
  return `${prefix}-${uniqueId.last}`;
}

function fill(element, classes, rest) {
  if (classes.length > 0) element.classList.add(...classes);
  const [first] = rest;
  const hasProperties = first !== null && typeof first === "object" && first.constructor === Object;
  if (hasProperties) setAll(element, first);
  append(element, hasProperties ? rest.slice(1) : rest);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === "") continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

function setAll(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.classList.add(...value.split(" ").filter(Boolean));
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "vars") setVariables(element, value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
}

function setVariables(element, variables) {
  for (const [name, value] of Object.entries(variables)) element.style.setProperty(name, value);
}
