// A run's numbers as a file.
import { runTable } from "../api.js";
import { save } from "../parts.js";
import { html } from "../vendor/ui/ui.js";

/** @param {{id: string, act: (deed: () => Promise<void>) => Promise<void>}} props */
export function SaveNumbers({ id, act }) {
  const path = `/train-jobs/${encodeURIComponent(id)}`;
  const csv = async () => save(await runTable(id), `${id}-metrics.csv`);
  return html`<button type="button" class="small" onClick=${() => act(csv)}>CSV</button>
    <a class="button small" href=${`${path}/tensorboard`} download>TensorBoard</a>
    <a class="button small" href=${`${path}/figures.zip`} download title="The paper's figures 5, 6 and 7 as PNG and SVG, with their numbers">Figures</a>`;
}
