// The data: 8x8 images of handwritten digits, as export.py writes them.

import { readFileSync } from "node:fs";

const PIXELS = 64;
const RECORD = PIXELS + 1;

/** Images of `size` rows as one flat array, 0 to 1, and their digits. */
function gather(bytes, rows) {
  const images = new Float32Array(rows.length * PIXELS);
  const labels = new Int32Array(rows.length);
  rows.forEach((row, at) => {
    for (let i = 0; i < PIXELS; i++) images[at * PIXELS + i] = bytes[row * RECORD + i] / 16;
    labels[at] = bytes[row * RECORD + PIXELS];
  });
  return { images, labels, size: rows.length };
}

/** Every fifth image is for the test, all others are for training. */
export function load(path) {
  const bytes = readFileSync(path);
  const rows = Array.from({ length: bytes.length / RECORD }, (_, row) => row);
  return {
    train: gather(bytes, rows.filter((row) => row % 5 !== 4)),
    test: gather(bytes, rows.filter((row) => row % 5 === 4)),
  };
}

/** Some rows of a set, as a set. */
export function take({ images, labels }, rows) {
  const found = { images: new Float32Array(rows.length * PIXELS), labels: new Int32Array(rows.length), size: rows.length };
  rows.forEach((row, at) => {
    found.images.set(images.subarray(row * PIXELS, (row + 1) * PIXELS), at * PIXELS);
    found.labels[at] = labels[row];
  });
  return found;
}
