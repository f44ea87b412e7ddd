// A run's numbers as a file.
import { html } from "../vendor/ui/ui.js";

const link = (href, name) => {
  const element = document.createElement("a");
  element.href = href;
  element.download = name;
  element.click();
};

/** @param {{id: string}} props */
export function SaveNumbers({ id }) {
  const path = `/train-jobs/${encodeURIComponent(id)}`;
  async function csv() {
    const answer = await fetch(`${path}/metrics`, { headers: { Accept: "text/csv" } });
    if (!answer.ok) return;
    const url = URL.createObjectURL(await answer.blob());
    link(url, `${id}-metrics.csv`);
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
  return html`<button type="button" class="small" onClick=${csv}>CSV</button>
    <a class="button small" href=${`${path}/tensorboard`} download>TensorBoard</a>
    <a class="button small" href=${`${path}/figures.zip`} download title="The paper's figures 5, 6 and 7 as PNG and SVG, with their numbers">Figures</a>`;
}
