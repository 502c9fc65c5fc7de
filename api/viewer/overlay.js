import { fitCanvas } from "./dom.js";
import { personColour, personName } from "./people.js";

const LABEL_PX = 16;
const FADED = 0.4;
const GRACE_PX = 6; // a click this close to a box is meant for it

/** Where a picture of this size lies in the canvas, which shows it whole. */
function placing(width, height, [pictureWidth, pictureHeight]) {
  const scale = Math.min(width / pictureWidth, height / pictureHeight);
  return { scale, left: (width - pictureWidth * scale) / 2, top: (height - pictureHeight * scale) / 2 };
}

/** Draws boxes, given in px of the source frame, with everybody's name; `focus` stands out. */
export function drawBoxes(canvas, boxes, size, focus) {
  const { context, width, height } = fitCanvas(canvas);
  context.clearRect(0, 0, width, height);
  const { scale, left, top } = placing(width, height, size);
  const shown = [];
  const order = [...boxes].sort((a, b) => (a.globalId === focus) - (b.globalId === focus));
  for (const { globalId, box } of order) {
    const [x1, y1, x2, y2] = box.map((value, side) => value * scale + (side % 2 ? top : left));
    const focused = focus !== null && globalId === focus;
    context.globalAlpha = focus === null || focused ? 1 : FADED;
    context.lineJoin = "round";
    context.setLineDash(globalId === null ? [4, 4] : []);
    context.strokeStyle = "rgb(8 12 18 / 0.7)";
    context.lineWidth = focused ? 6 : 4;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.strokeStyle = personColour(globalId);
    context.lineWidth = focused ? 3.5 : 2;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    shown.push({ globalId, alpha: context.globalAlpha, x1, y1, y2 });
  }
  context.setLineDash([]);
  context.font = "600 12px system-ui, sans-serif";
  const labels = placeLabels(context, shown.reverse().filter(({ globalId }) => globalId !== null), width, height);
  for (const label of labels.reverse()) drawLabel(context, label);
  context.globalAlpha = 1;
}

/** Above the box, below it, or within its top: where no label lies yet. Whoever comes first has the choice. */
function placeLabels(context, boxes, width, height) {
  const placed = [];
  for (const { globalId, alpha, x1, y1, y2 } of boxes) {
    const name = personName(globalId);
    const text = name.length > 8 ? `${name.slice(0, 7)}…` : name;
    const wide = context.measureText(text).width + 10;
    const left = Math.min(Math.max(0, x1 - 1), width - wide);
    const isFree = (top) => placed.every((other) => left >= other.left + other.wide || left + wide <= other.left || Math.abs(top - other.top) >= LABEL_PX);
    const choices = [y1 - LABEL_PX - 1, y2 + 1, y1].map((top) => Math.min(Math.max(0, top), height - LABEL_PX));
    placed.push({ text, colour: personColour(globalId), alpha, left, wide, top: choices.find(isFree) ?? choices[0] });
  }
  return placed;
}

function drawLabel(context, { text, colour, alpha, left, wide, top }) {
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, wide, LABEL_PX, 3);
  context.fill();
  context.fillStyle = "#0b1017";
  context.textBaseline = "middle";
  context.fillText(text, left + 5, top + LABEL_PX / 2 + 0.5);
}

/** The smallest box at a point of the canvas, or null. */
export function hitBox(canvas, boxes, size, x, y) {
  const { scale, left, top } = placing(canvas.clientWidth, canvas.clientHeight, size);
  const [px, py, grace] = [(x - left) / scale, (y - top) / scale, GRACE_PX / scale];
  const inside = boxes.filter(
    ({ box: [x1, y1, x2, y2] }) => px >= x1 - grace && px <= x2 + grace && py >= y1 - grace && py <= y2 + grace,
  );
  const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
  return inside.sort((a, b) => area(a) - area(b))[0] ?? null;
}
