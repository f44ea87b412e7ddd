// What came of a reader study: the verdict, each reader's accuracy as a picture and as a table.
import { html } from "../vendor/ui/ui.js";

const VERDICTS = {
  indistinguishable: ["green", "Indistinguishable within the margin"],
  told_apart: ["red", "Told apart"],
  reversed: ["amber", "Mistaken for each other"],
  inconclusive: ["amber", "Inconclusive"],
};
const percent = (share) => (share === null ? "–" : (100 * share).toFixed(1));
const between = ({ value, interval }) =>
  `${percent(value)}${interval ? ` (${percent(interval[0])}–${percent(interval[1])})` : ""}`;
const kappa = ({ value, interval }) =>
  value === null
    ? "–"
    : `${value.toFixed(2)}${interval ? ` (${interval.map((v) => v.toFixed(2)).join(" to ")})` : ""}`;

/** @param {{found: Record<string, any>}} props results.json */
export function Results({ found }) {
  if (!found.closed_at) return html`<${Waiting} found=${found} />`;
  const verdict = found.verdict && VERDICTS[found.verdict.verdict];
  const kappas = found.agreement.pairs.length > 0 && found.agreement.fleiss_kappa;
  return html`<section class="panel stack" aria-labelledby="results">
    <h2 id="results">Results of ${found.readers_counted} of ${found.readers_invited} readers</h2>
    ${
      verdict
        ? html`<div class="lights"><span class=${`light ${verdict[0]}`}><strong>${verdict[1]}</strong></span></div>
          <p>${found.verdict.text}</p>`
        : html`<p>Nobody judged every image.</p>`
    }
    <${Forest} found=${found} />
    <div class="table-box" tabindex="0" role="region" aria-label="Results by reader"><table>
      <thead><tr><th scope="col">Reader</th><th scope="col">Right, %</th><th scope="col">Synthetic found out, %</th>
        <th scope="col">Real taken for real, %</th><th scope="col">Area</th><th scope="col">Same again</th><th scope="col">Seconds</th></tr></thead>
      <tbody>
        ${found.readers.map(
          (
            each,
          ) => html`<tr key=${each.reader}><th scope="row">${each.name}</th><td>${between(each.accuracy)}</td>
          <td>${between(each.sensitivity)}</td><td>${between(each.specificity)}</td>
          <td>${each.area ? each.area.value.toFixed(2) : "–"}</td>
          <td>${each.repeats ? `${each.repeats.same} of ${each.repeats.images}` : "–"}</td>
          <td>${each.seconds_median === null ? "–" : each.seconds_median.toFixed(1)}</td></tr>`,
        )}
        <tr><th scope="row">Readers like these</th><td>${between(found.accuracy)}</td>
          <td>${between(found.sensitivity)}</td><td>${between(found.specificity)}</td><td></td><td></td><td></td></tr>
        ${
          found.labels.length > 1 &&
          found.labels.map(
            (
              each,
            ) => html`<tr key=${each.label}><th scope="row">${each.label}</th><td>${between(each.accuracy)}</td>
          <td>${between(each.sensitivity)}</td><td>${between(each.specificity)}</td><td></td><td></td><td></td></tr>`,
          )
        }
      </tbody></table></div>
    ${kappas && html`<p>Agreement between readers: Fleiss' κ ${kappa(kappas)}</p>`}
    <p class="hint">95 % intervals. “Readers like these” takes other readers and other images into account; a reader's own interval, images alone.</p>
    <ul class="limits">${found.limits.map((each) => html`<li>${each}</li>`)}</ul>
  </section>`;
}

/** What an open study tells: nothing of how often readers are right. */
function Waiting({ found }) {
  return html`<section class="panel stack" aria-labelledby="results">
    <h2 id="results">${found.readers_counted} of ${found.readers_invited} readers are through</h2>
    <p class="hint">How often they are right is told when the study is closed: who looks often, and stops when it looks right, errs more often than an interval says.</p>
    <ul class="limits">${found.limits.map((each) => html`<li>${each}</li>`)}</ul>
  </section>`;
}

const ROW = 26;
const short = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

/** Accuracies with their intervals on one axis, beside guessing and the margin around it. */
function Forest({ found }) {
  const rows = [
    ...found.readers.map((each) => [each.name, each.accuracy, false]),
    ["Readers like these", found.accuracy, true],
  ];
  const [width, left] = innerWidth < 700 ? [340, 132] : [560, 150];
  const at = (share) => left + share * (width - left - 16);
  const height = ROW * rows.length + 30;
  const words = rows.map(([name, accuracy]) => `${name}: ${between(accuracy)}`).join("; ");
  return html`<svg class="forest" viewBox=${`0 0 ${width} ${height}`} role="img"
    aria-label=${`Right answers in per cent. ${words}. Guessing gives 50.`}>
    <rect class="forest-margin" x=${at(0.5 - found.margin)} y="0" width=${at(2 * found.margin) - at(0)} height=${height - 24} />
    <line class="forest-chance" x1=${at(0.5)} x2=${at(0.5)} y1="0" y2=${height - 24} />
    ${[0, 0.25, 0.5, 0.75, 1].map(
      (
        share,
      ) => html`<g key=${share}><line class="forest-tick" x1=${at(share)} x2=${at(share)} y1=${height - 24} y2=${height - 19} />
        <text x=${at(share)} y=${height - 5} text-anchor="middle">${100 * share}</text></g>`,
    )}
    ${rows.map(([name, { value, interval }, all], i) => {
      const y = ROW * i + ROW / 2;
      return html`<g key=${i} class=${all ? "forest-all" : ""}>
        <text x="0" y=${y + 4}>${short(name, left / 7)}</text>
        ${interval && html`<line class="forest-interval" x1=${at(interval[0])} x2=${at(interval[1])} y1=${y} y2=${y} />`}
        ${
          value !== null &&
          (all
            ? html`<rect class="forest-value" x=${at(value) - 5} y=${y - 5} width="10" height="10" transform=${`rotate(45 ${at(value)} ${y})`} />`
            : html`<circle class="forest-value" cx=${at(value)} cy=${y} r="4.500" />`)
        }
      </g>`;
    })}
  </svg>`;
}
