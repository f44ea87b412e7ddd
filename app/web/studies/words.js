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

/** As on the results' own page: no verdict claims more than its interval. */
export const VERDICTS = {
  benefit: { title: "Yes, they help", short: "benefit", mark: "ok" },
  equivalent: { title: "No difference that matters", short: "equivalent", mark: "even" },
  inconclusive: { title: "Not shown", short: "not shown", mark: "open" },
  harm: { title: "No, they do harm", short: "harm", mark: "bad" },
  none: { title: "No answer", short: "no answer", mark: "none" },
};

/** The verdict of a study, "none" where its difference could not be estimated. */
export const verdictOf = ({ verdict, lights }) =>
  VERDICTS[lights.usefulness === "grey" ? "none" : verdict.verdict];

export const METRICS = { auroc: "AUROC", auprc: "AUPRC" };

const ARMS = {
  real: "real",
  duplicates: "real + {k} × duplicates",
  synthetic: "synthetic only",
  real_synthetic: "real + {k} × synthetic",
  augmented: "real, augmented",
  weighted: "real, classes weighted",
  oversampled: "real, oversampled",
  augmented_synthetic: "both augmented, {k} × synthetic",
  pretrained: "{k} × synthetic first, then real",
  one_class: "real + {k} × synthetic, one class",
};

/** "real + 1 × synthetic" @param {string} arm @param {number | null} [ratio] */
export function armName(arm, ratio = null) {
  const name = ARMS[arm] ?? arm.replaceAll("_", " ");
  return ratio === null ? name.replace("{k} × ", "") : name.replace("{k}", String(ratio));
}

/** "small network" @param {string} classifier */
export const classifierName = (classifier) =>
  ({ probe: "linear probe", network: "small network" })[classifier] ??
  classifier.replace(/^yours:/, "your model ");

/** A difference with its sign, in three digits; none is a negative zero. @param {number} v */
export const signed = (v) => {
  const size = Math.abs(v).toFixed(3);
  return (v < 0 && Number(size) > 0 ? "−" : "+") + size;
};

/** "0.021 (−0.009 to 0.051)" @param {number} value @param {number[]} interval */
export const within = (value, [low, high], write = signed) =>
  value === null
    ? "–"
    : low === null
      ? write(value)
      : `${write(value)} (${write(low)} to ${write(high)})`;

/** A p-value, as papers write it. @param {number | null} p */
export const pValue = (p) => (p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));
