/** Small help with the document: elements, icons, and words for times. */

/** An element; keys of `properties` are properties of the element, `aria` and `data` objects, `class`, or `on…` listeners. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name === "class") made.className = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "aria") for (const [key, said] of Object.entries(value)) made.setAttribute(`aria-${key}`, said);
    else if (name === "role") made.setAttribute("role", value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SHAPES = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M7 5h3.6v14H7zM13.4 5H17v14h-3.6z",
  back: "M18 5.5v13l-9-6.5zM6 5.5h2.4v13H6z",
  next: "M6 5.5v13l9-6.5zM15.6 5.5H18v13h-2.4z",
  close: "M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z",
  left: "M15.4 5 17 6.6 11.6 12 17 17.4 15.4 19l-7-7z",
  heat: "M12 3c.6 3.4 5.5 6 5.5 11a5.5 5.5 0 0 1-11 0c0-2 1-3.6 2.2-4.8.2 1.6.8 2.6 1.8 3C10.2 9 10.6 5.700 12 3z",
  search: "M10.500 4a6.500 6.500 0 0 1 5.200 10.400l4.600 4.600-1.400 1.400-4.600-4.600A6.500 6.500 0 1 1 10.500 4zm0 2a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9z",
  help: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zm0 2a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm-1.100 10.500h2.200v2.200h-2.200zM12 6.600c2.200 0 3.700 1.300 3.700 3.200 0 2.300-2.600 2.500-2.600 4.400h-2.100c0-2.900 2.500-3 2.500-4.300 0-.8-.6-1.300-1.500-1.300s-1.600.6-1.600 1.600H8.300c0-2.100 1.500-3.600 3.700-3.600z",
  picture: "M4 5h16v14H4zm2 2v8l3.600-4 3 3.200 2-2L18 15.500V7zm9 1.200a1.600 1.600 0 1 1 0 3.200 1.600 1.600 0 0 1 0-3.200z",
  enlarge: "M4 4h7v2H6v5H4zM13 18h5v-5h2v7h-7z",
  stop: "M6 6h12v12H6z",
  theme: "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zm0 2v14a7 7 0 0 0 0-14z",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/** `1:05.3`: minutes, seconds, tenths. */
export function clockTime(seconds, digits = 0) {
  const shown = Math.max(0, seconds) + 1e-6;
  const minutes = Math.floor(shown / 60);
  const scale = 10 ** digits;
  const rest = (Math.floor((shown % 60) * scale) / scale).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return `${minutes}:${rest}`;
}

/** `8 s`, `2 min 5 s`. */
export function duration(seconds) {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** `just now`, `5 min ago`, or the date. */
export function ago(when) {
  const minutes = (Date.now() - new Date(when).getTime()) / 60_000;
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(when).toLocaleDateString();
}

/** A canvas made as large as it is shown, in device pixels; the context draws in CSS pixels. */
export function fitCanvas(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}

const colours = new Map();

/** A colour of the style sheet as it is now, for canvases: a custom property by name, or any other CSS colour. */
export function themed(colour) {
  if (!colours.has(colour)) {
    const probe = element("span", { hidden: true });
    probe.style.color = colour.startsWith("--") ? `var(${colour})` : colour;
    document.body.append(probe);
    colours.set(colour, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(colour);
}

/** To be called when the page changes between light and dark. */
export function forgetColours() {
  colours.clear();
}
