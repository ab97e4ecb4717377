// Train a small classifier of handwritten digits. The model and its data live here; Gradwire computes the loss with its
// gradient, the optimizer's steps, and the order of the samples.
//
//   node train.mjs [--url http://127.0.0.1:8000] [--epochs 20] [--chart loss.svg]

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { chart } from "./chart.mjs";
import { load, take } from "./digits.mjs";
import { ask, under, within } from "./gradwire.mjs";
import { accuracy, backward, forward, initialise, randomness } from "./network.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000" },
    epochs: { type: "string", default: "20" },
    chart: { type: "string", default: "loss.svg" },
  },
});
const url = options.url.replace(/\/$/, "");
const SIZES = [64, 32, 10];
const BATCH = 64;
const RATE = 0.02;

const { train, test } = load(new URL("digits.bin", import.meta.url));
let parameters = initialise(SIZES, randomness(1));
let state = {};
const curve = [];
const epochs = Number(options.epochs);

for (let epoch = 1; epoch <= epochs; epoch++) {
  // Every digit equally often, shuffled anew.
  const labels = { labels: { shape: [train.size], data: train.labels } };
  const { tensors } = await ask(url, "/v1/balanced-order", labels, { seed: epoch });
  const order = Array.from(tensors.order.data, Number);

  let sum = 0;
  let divisor = 0;
  for (let at = 0; at < order.length; at += BATCH) {
    const { images, labels, size } = take(train, order.slice(at, at + BATCH));
    const { logits, hidden } = forward(parameters, images, size);

    const loss = await ask(url, "/v1/losses/cross_entropy", {
      input: { shape: [size, SIZES.at(-1)], data: logits },
      target: { shape: [size], data: labels },
    });
    sum += loss.tensors.loss.data[0] * loss.members.divisor;
    divisor += loss.members.divisor;

    const done = (epoch - 1 + at / order.length) / epochs;
    const gradients = backward(parameters, images, size, hidden, loss.tensors["gradients.input"].data);
    const step = await ask(
      url,
      "/v1/optimizer/step",
      { ...under("parameters", parameters), ...under("gradients", gradients), ...under("state", state) },
      { optimizer: "adam", lr: RATE * (1 - done) },
    );
    parameters = within(step.tensors, "parameters");
    state = within(step.tensors, "state");
  }

  curve.push({ epoch, loss: sum / divisor, accuracy: accuracy(parameters, test) });
  const { loss, accuracy: right } = curve.at(-1);
  console.log(`epoch ${epoch}: loss ${loss.toFixed(4)}, test accuracy ${(100 * right).toFixed(2)} %`);
}
writeFileSync(options.chart, chart(curve));
