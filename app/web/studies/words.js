// What a study's words mean, for people.
import { number } from "../format.js";

export const GOING = ["queued", "running"];

const KINDS = {
  prepare: "Images prepared",
  generator: "generators trained",
  runs: "sets of classifiers trained",
  results: "Results made",
};

/** "2 of 3 generators trained"; of what there is once, its name alone. */
export const kindWords = (kind, { done, total }) =>
  kind === "prepare" || kind === "results" ? KINDS[kind] : `${done} of ${total} ${KINDS[kind]}`;

/** No verdict claims more than its interval. */
export const VERDICTS = {
  benefit: { title: "A benefit is shown", short: "a benefit is shown", mark: "ok" },
  equivalent: { title: "No useful difference", short: "no useful difference", mark: "even" },
  inconclusive: { title: "No benefit is shown", short: "no benefit is shown", mark: "open" },
  harm: { title: "It does harm", short: "it does harm", mark: "bad" },
};

export const METRICS = { auroc: "AUROC", auprc: "AUPRC" };

const ARMS = {
  real: "real images",
  duplicates: "duplicates",
  synthetic: "synthetic alone",
  real_synthetic: "real and synthetic",
  augmented: "augmented",
  weighted: "weighted classes",
  oversampled: "oversampled classes",
  augmented_synthetic: "augmented, with synthetic",
  pretrained: "pretrained on synthetic",
  one_class: "synthetic in one class",
};

/** "real and synthetic × 1" @param {string} arm @param {number | null} [ratio] */
export const armName = (arm, ratio = null) =>
  `${ARMS[arm] ?? arm.replaceAll("_", " ")}${ratio === null ? "" : ` × ${ratio}`}`;

/** A difference with its sign, in three digits. @param {number} v */
export const signed = (v) => (v < 0 ? "−" : "+") + number(Math.abs(v));

/** "0.021 (−0.009 to 0.051)" @param {number} value @param {number[]} interval */
export const within = (value, [low, high], write = signed) =>
  `${write(value)} (${write(low)} to ${write(high)})`;

/** What one difference says: one of many is shown only where it is after correction for them. */
export const verdictOf = ({ verdict, primary, p_holm: p }) =>
  primary || p === null || p < 0.05 || !["benefit", "harm"].includes(verdict)
    ? VERDICTS[verdict].short
    : "not shown after correction";

/** A p-value, as papers write it. @param {number | null} p */
export const pValue = (p) => (p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));
