// What the curves say to someone who has not watched many: hints, no verdicts.
const EPOCHS = 5;

const mean = (rows, key) => rows.reduce((sum, row) => sum + row[key], 0) / rows.length;

/** Sentences about the last epochs. @param {import("./metrics.js").Metrics} metrics @returns {string[]} */
export function hints(metrics) {
  const rows = metrics.epochs().slice(0, EPOCHS);
  if (rows.length < EPOCHS) return [];
  if (rows.some((row) => ![row.loss_d, row.loss_g].every(Number.isFinite)))
    return [
      "A loss is no number any more: the run will fail or stop. Resume from an earlier epoch with a smaller learning rate.",
    ];
  const found = [];
  if (mean(rows, "d_x") > 0.97 && mean(rows, "d_g_z1") < 0.03)
    found.push(
      "The discriminator is sure of every image, so the generator learns little from it. A lower learning rate, augmentation or a larger penalty help.",
    );
  if (mean(rows, "loss_g") > 4 * mean(rows, "loss_d") && mean(rows, "loss_g") > 5)
    found.push(
      "The generator's loss is far above the discriminator's: the game is one-sided. Look at the samples before waiting longer.",
    );
  return found;
}
