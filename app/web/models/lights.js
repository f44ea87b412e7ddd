// A report's three lights, and the numbers behind them.
import { number } from "../format.js";
import { html } from "../vendor/ui/ui.js";

export const LIGHTS = [
  ["fidelity", "Fidelity"],
  ["privacy", "Privacy"],
  ["usefulness", "Usefulness"],
];

/** Three lights in words; colour only adds to them. @param {{lights: Record<string, string>}} props */
export function Lights({ lights }) {
  return html`<ul class="lights">
    ${LIGHTS.map(
      ([
        key,
        name,
      ]) => html`<li key=${key} class=${`light ${(lights[key] ?? "none").replace(" ", "-")}`}>
      <span class="light-name">${name}</span> ${lights[key] ?? "not measured"}</li>`,
    )}
  </ul>`;
}

const ROWS = [
  ["kid_lite0", "KID × 1000", 1000, "less is nearer to real images"],
  ["fd_lite0", "Fréchet distance", 1, "less is nearer"],
  ["precision", "Precision", 1, "samples that look like some real image"],
  ["coverage", "Coverage", 1, "real images with a sample nearby"],
  ["msssim_fake", "MS-SSIM of pairs", 1, "less is more varied"],
  ["duplicates", "Near-duplicates", 1, "share of samples"],
];
const FLOORS = { msssim_fake: "msssim_real" };

/** Numbers of each class beside those of real images of other patients. @param {{fidelity: any}} props */
export function Fidelity({ fidelity }) {
  const labels = Object.keys(fidelity);
  return html`<div class="table-box" role="region" aria-label="Fidelity by class" tabindex="0"><table>
    <thead>
      <tr><th scope="col">Measure</th>${labels.map((label) => html`<th scope="col" colspan="2">${label}</th>`)}</tr>
      <tr><th scope="col"></th>${labels.map(() => html`<th scope="col">samples</th><th scope="col">real images</th>`)}</tr>
    </thead>
    <tbody>
      ${ROWS.filter(([key]) => labels.some((l) => key in fidelity[l])).map(
        ([key, name, times, words]) => html`<tr key=${key}>
          <th scope="row">${name} <span class="hint">${words}</span></th>
          ${labels.map((label) => {
            const floor = fidelity[label][FLOORS[key] ?? `${key}_floor`];
            return html`<td>${number(times * fidelity[label][key])}</td>
              <td class="real">${floor === undefined ? "–" : number(times * floor)}</td>`;
          })}
        </tr>`,
      )}
      <tr><th scope="row">Images a side</th>${labels.map((l) => html`<td colspan="2">${fidelity[l].n}</td>`)}</tr>
    </tbody>
  </table></div>`;
}

/** Each check in its sentence, the worst first. */
export function Checks({ checks, light }) {
  const order = ["red", "amber", "not estimable", "green"];
  const mine = checks.filter((c) => c.light === light);
  const sorted = [...mine].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
  const one = (check) => html`<li class=${`light ${check.verdict.replace(" ", "-")}`}>
    <span class="unseen">${check.verdict}: </span>${check.text}</li>`;
  return html`<ul class="checks">${sorted.slice(0, 4).map(one)}</ul>
    ${
      sorted.length > 4 &&
      html`<details><summary>${sorted.length - 4} more</summary>
      <ul class="checks">${sorted.slice(4).map(one)}</ul></details>`
    }`;
}
