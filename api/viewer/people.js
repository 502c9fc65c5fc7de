/** One colour and one short name a person, the same everywhere, in every visit. */

export const NOBODY_COLOUR = "#b9c2cc";

const COLOURS = [
  "#ff7a6b", "#5cb3ff", "#5fd48b", "#ffc14d", "#c99bff", "#3fd6d9",
  "#ff8fc7", "#d3a574", "#b5dd4b", "#9aa8ff", "#ff9f5c", "#8fe3c4",
];
const GOLDEN_ANGLE = 137.508; // steps of it never come close to an earlier hue soon

/** The part of a global id that differs between the people of one task. */
export function personName(globalId) {
  return globalId === null ? "?" : globalId.slice(globalId.lastIndexOf("-") + 1);
}

/** Bright enough that dark text reads well on it and it reads well on dark ground. */
export function personColour(globalId) {
  if (globalId === null) return NOBODY_COLOUR;
  const number = numberOf(personName(globalId));
  if (number < COLOURS.length) return COLOURS[number];
  return `hsl(${((number * GOLDEN_ANGLE) % 360).toFixed(1)} ${number % 2 ? 85 : 65}% ${number % 2 ? 74 : 66}%)`;
}

/** The same for lines and bars: as it is on dark ground, deeper on light ground. */
export function personInk(globalId) {
  const colour = personColour(globalId);
  return `light-dark(color-mix(in oklab, ${colour}, black 38%), ${colour})`;
}

function numberOf(name) {
  if (/^\d+$/.test(name)) return Number(name);
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return sum;
}
