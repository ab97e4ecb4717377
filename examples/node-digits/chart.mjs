// The loss curve and the accuracy, drawn as SVG: two panels above one another, one axis of epochs.

const WIDTH = 720;
const LEFT = 64;
const RIGHT = 28;
const PANEL = { height: 170, gap: 64, top: 74 };
const INK = "#24292f";
const FAINT = "#d8dee4";
const MUTED = "#57606a";

/** Round steps that cut a range into about so many parts. */
function ticks(low, high, parts) {
  const rough = (high - low) / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}

const text = (x, y, words, more = "") => `<text x="${x}" y="${y}" ${more}>${words}</text>`;

function panel(curve, top, { title, colour, read, low, high, label }) {
  const last = curve.at(-1).epoch;
  const first = curve[0].epoch;
  const x = (epoch) => LEFT + ((WIDTH - LEFT - RIGHT) * (epoch - first)) / Math.max(last - first, 1);
  const y = (value) => top + PANEL.height * (1 - (value - low) / (high - low));
  const parts = [text(LEFT, top - 14, title, `font-weight="600" fill="${INK}"`)];
  for (const value of ticks(low, high, 5)) {
    const at = y(value).toFixed(1);
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="${FAINT}"/>`);
    parts.push(text(LEFT - 10, (y(value) + 4).toFixed(1), label(value), `text-anchor="end" fill="${MUTED}"`));
  }
  for (const epoch of ticks(first, last, 8).filter(Number.isInteger)) {
    parts.push(text(x(epoch).toFixed(1), top + PANEL.height + 20, epoch, `text-anchor="middle" fill="${MUTED}"`));
  }
  parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${top + PANEL.height}" y2="${top + PANEL.height}" stroke="${MUTED}"/>`);
  const points = curve.map((one) => `${x(one.epoch).toFixed(1)},${y(Math.min(Math.max(read(one), low), high)).toFixed(1)}`);
  parts.push(`<polyline points="${points.join(" ")}" fill="none" stroke="${colour}" stroke-width="2.5" stroke-linejoin="round"/>`);
  const [endX, endY] = points.at(-1).split(",");
  parts.push(`<circle cx="${endX}" cy="${endY}" r="4" fill="${colour}"/>`);
  return parts.join("\n");
}

/** The whole picture. */
export function chart(curve) {
  const most = Math.max(...curve.map((one) => one.loss));
  const least = Math.min(...curve.map((one) => one.accuracy));
  const last = curve.at(-1);
  const loss = panel(curve, PANEL.top, {
    title: `Training loss (cross entropy): ${last.loss.toFixed(4)} at the end`,
    colour: "#0969da",
    read: (one) => one.loss,
    low: 0,
    high: most * 1.05,
    label: (value) => String(Number(value.toFixed(3))),
  });
  const below = PANEL.top + PANEL.height + PANEL.gap;
  const right = panel(curve, below, {
    title: `Test accuracy: ${(100 * last.accuracy).toFixed(2)} % at the end`,
    colour: "#1a7f37",
    read: (one) => one.accuracy,
    low: Math.floor(least * 20) / 20 - (least === 1 ? 0.05 : 0),
    high: 1,
    label: (value) => `${Number((100 * value).toFixed(1))} %`,
  });
  const height = below + PANEL.height + 56;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"
 font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Training loss and test accuracy by epoch">
<rect width="100%" height="100%" fill="#ffffff"/>
${text(LEFT, 28, "Handwritten digits, trained from Node through Gradwire", `font-size="16" font-weight="700" fill="${INK}"`)}
${loss}
${right}
${text((LEFT + WIDTH - RIGHT) / 2, height - 14, "epoch", `text-anchor="middle" fill="${MUTED}"`)}
</svg>
`;
}
