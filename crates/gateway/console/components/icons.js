// Line drawings of 20 × 20; decoration, so readers of the screen do not hear of them.

import { svg } from "../dom.js";

const PATHS = {
  overview: ["M3 10.5 10 4l7 6.5", "M5 9v7.5h10V9"],
  key: ["M12.5 11.5a4 4 0 1 0-3.4-1.9L3 15.7V17h2.5v-1.8h1.8v-1.8h1.7l1.3-1.3", "M13.5 6.5h.01"],
  usage: ["M3 17h14", "M5.5 14v-4", "M10 14V5", "M14.5 14V8"],
  playground: ["M4 4.5h12v8.5h-6.5L6 16v-3H4z", "M7.5 8.8h5"],
  model: ["M10 3l6.5 3.5v7L10 17l-6.5-3.5v-7z", "M3.5 6.5 10 10l6.5-3.5", "M10 10v7"],
  reference: ["M7 6 3.5 10 7 14", "M13 6l3.5 4-3.5 4", "M11.3 4.5 8.7 15.5"],
  person: ["M10 10a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4", "M3.8 16.8c.8-3 3.2-4.5 6.2-4.5s5.4 1.5 6.2 4.5"],
  people: ["M7.5 9.5a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4", "M2.5 16c.6-2.8 2.5-4.2 5-4.2s4.4 1.4 5 4.2", "M13 4.5a2.5 2.5 0 0 1 0 4.8", "M14.5 12.2c1.6.5 2.6 1.8 3 3.8"],
  invitation: ["M3 5.5h14v9.5H3z", "M3.5 6l6.5 5 6.5-5"],
  upstream: ["M4 4h12v4.5H4z", "M4 11.5h12V16H4z", "M7 6.3h.01", "M7 13.8h.01"],
  options: ["M3 6.5h8", "M15 6.5h2", "M3 13.5h2", "M9 13.5h8", "M13 8.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4", "M7 15.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4"],
  audit: ["M5 3.5h10v13H5z", "M8 7.5h4", "M8 10.3h4", "M8 13h2.5"],
  copy: ["M7.5 7.5h8.5v8.5H7.5z", "M12.5 7.3V4H4v8.5h3.3"],
  check: ["M4.5 10.5 8.3 14.3 15.5 6.5"],
  close: ["M5.5 5.5l9 9", "M14.5 5.5l-9 9"],
  menu: ["M3.5 6h13", "M3.5 10h13", "M3.5 14h13"],
  plus: ["M10 4.5v11", "M4.5 10h11"],
  send: ["M10 16V4.5", "M5 9.3 10 4.3l5 5"],
  stop: ["M6 6h8v8H6z"],
  retry: ["M15.8 8.3A6.2 6.2 0 1 0 16 12", "M16 4.5v4h-4"],
  trash: ["M4 6h12", "M8 6V4h4v2", "M5.5 6l.8 10.5h7.4L14.5 6", "M8.5 9v4.5", "M11.5 9v4.5"],
  edit: ["M4 16l.7-3.3 8.5-8.5 2.6 2.6-8.5 8.5z", "M11.5 6l2.6 2.6"],
  code: ["M7 6 3.5 10 7 14", "M13 6l3.5 4-3.5 4"],
  image: ["M3.5 4.5h13v11h-13z", "M3.5 13l4-4 3.5 3.5 2-2 3.5 3.5", "M12.8 7.6h.01"],
  audio: ["M10 3.5a2 2 0 0 1 2 2v4a2 2 0 0 1-4 0v-4a2 2 0 0 1 2-2", "M5.5 9.5a4.5 4.5 0 0 0 9 0", "M10 14v2.8"],
  tool: ["M12 4.2a4 4 0 0 0-4.3 5.4L3.5 13.8l2.7 2.7 4.2-4.2A4 4 0 0 0 15.8 8L13 9.3 10.7 7z"],
  system: ["M3 4.5h14v9H3z", "M7 17h6", "M10 13.5V17"],
  light: ["M10 13.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4", "M10 2.5v1.8", "M10 15.7v1.8", "M2.5 10h1.8", "M15.7 10h1.8", "M4.7 4.7 6 6", "M14 14l1.3 1.3", "M4.7 15.3 6 14", "M14 6l1.3-1.3"],
  dark: ["M16.5 11.8A7 7 0 0 1 8.2 3.5a6.8 6.8 0 1 0 8.3 8.3z"],
  leave: ["M8 4H4v12h4", "M8 10h8.5", "M13 6.5l3.5 3.5-3.5 3.5"],
  warning: ["M10 3.5 17.5 16.5h-15z", "M10 8.5v3.5", "M10 14.3h.01"],
  filter: ["M3 5h14", "M6 10h8", "M8.5 15h3"],
  external: ["M8 4.5H4v11.5h11.5V12", "M11.5 4H16v4.5", "M16 4l-7 7"],
};

/** A drawing by its name. */
export function icon(name) {
  const strokes = PATHS[name].map((d) => svg("path", { d }));
  return svg("svg.icon", { viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" }, strokes);
}

/** The mark of the product. */
export function mark() {
  return svg(
    "svg.mark",
    { viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" },
    svg("rect.mark-ground", { width: 32, height: 32, rx: 8 }),
    svg("path.mark-liquid", { d: "M11.3 19.5h9.4l1.2 2.3a2 2 0 0 1-1.8 2.9h-8.2a2 2 0 0 1-1.8-2.9z" }),
    svg("path.mark-glass", { d: "M13 6h6M14 6v6.5L9.2 21.6A3 3 0 0 0 11.9 26h8.2a3 3 0 0 0 2.7-4.4L18 12.5V6" }),
  );
}
