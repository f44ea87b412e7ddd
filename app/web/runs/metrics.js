// The metric lines of a run, merged from the file and the live stream.

const KEYS = ["loss_d", "loss_g", "d_x", "d_g_z1", "d_g_z2"];

export class Metrics {
  constructor() {
    /** @type {Map<number, any>} by step: a resumed run says some steps again, the later line holds */
    this.steps = new Map();
    /** @type {Map<number, any>} by epoch: the means */
    this.means = new Map();
    this.sorted = null;
  }

  /** @param {any} line one metric event or line */
  add(line) {
    const done = line.fraction > 0 && line.epochs > 0 ? line.fraction * line.epochs : line.epoch;
    const point = { x: done, epoch: line.epoch };
    for (const key of KEYS) point[key] = line[key];
    if (line.scope === "epoch") this.means.set(line.epoch, point);
    else this.steps.set(line.step, point);
    this.sorted = null;
  }

  /** What the chart draws, by x: the steps, or the epochs' means where no step is known. */
  points() {
    const source = this.steps.size ? this.steps : this.means;
    this.sorted ??= [...source.values()].sort((a, b) => a.x - b.x);
    return this.sorted;
  }

  /** One row an epoch, newest first. */
  epochs() {
    return [...this.means.values()].sort((a, b) => b.epoch - a.epoch);
  }
}
