// One dataset: its numbers, what was refused and why, and pictures of what a generator will see.
import { Problem, dataset as ask, datasetUrl, deleteDataset } from "../api.js";
import { Confirm } from "../deeds.js";
import { ago, size, whole } from "../format.js";
import { navigate } from "../navigate.js";
import { Banner, CopyButton, Progress, Slider, coming } from "../parts.js";
import { usePolled } from "../polled.js";
import { flat } from "../settings.js";
import { html, useState } from "../vendor/ui/ui.js";
import { Status } from "./list.js";

const POLL_MS = 2000;
const BACK = html`<a href="/ui/datasets" class="back">Datasets</a>`;
const SPLITS = { train: "Train", validation: "Valid.", held_out: "Held out" };

export default function DatasetPage({ id }) {
  const { content: found, problem } = usePolled(
    (signal) => ask(id, signal),
    [id],
    POLL_MS,
    ({ status }) => status === "validating",
  );
  const [asking, setAsking] = useState(false);
  if (!found) return coming(id, BACK, problem);
  const ready = found.status === "ready";
  return html`<div class="run-page">
    <p>${BACK}</p>
    <header class="run-head">
      <div class="run-title"><h1 tabindex="-1">${found.name}</h1><${Status} dataset=${found} />
        <span class="run-told">${whole(found.images)} images${found.patients ? ` of ${whole(found.patients)} patients` : ""}</span></div>
      <div class="bar-end">
        ${
          ready &&
          html`<a class="button" href=${`/ui/runs?dataset=${id}`}>Train on it</a>
          <a class="button" href=${datasetUrl(id, "report.html")} target="_blank">Report</a>`
        }
        <button type="button" class="danger" onClick=${() => setAsking(true)}>Delete</button>
      </div>
      <p class="hint"><span class="mono">${id}</span> · ${found.path ? `in place: ${found.path}` : `upload, ${size(found.stored_bytes)}`}
        ${found.created_at ? ` · made ${ago(new Date(1000 * found.created_at).toISOString())}` : ""}</p>
    </header>
    ${
      found.progress &&
      html`<p class="hint" role="status">${found.progress.phase}: ${whole(found.progress.done)}
      ${found.progress.total ? ` of ${whole(found.progress.total)} files` : ""}</p>
      <${Progress} fraction=${found.progress.total ? found.progress.done / found.progress.total : 0} label="Progress of the validation" />`
    }
    ${problem && html`<${Banner} problem=${problem} />`}
    ${found.error && html`<${Banner} problem=${new Problem(found.error)} />`}
    <div class="run-body">
      <div class="stack">
        ${ready && html`<${Pictures} id=${id} labels=${Object.keys(found.labels)} />`}
        <${Reasons} found=${found} />
      </div>
      <div class="stack">
        <${Counts} found=${found} />
        <section class="panel" aria-labelledby="choices">
          <div class="bar"><h2 id="choices">Choices</h2><div class="bar-end">
            <${CopyButton} label="Copy" name="Copy the choices as JSON" text=${() => JSON.stringify(found.choices, null, 2)} /></div></div>
          <table class="settings"><caption class="unseen">Choices</caption><tbody>
            ${[
              ["fingerprint", (found.fingerprint ?? "–").slice(0, 16)],
              ["patients by", found.patients_by ?? "–"],
              ["split by", found.split_by ?? "–"],
              ...flat(found.choices ?? {}),
            ].map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>`)}
          </tbody></table>
        </section>
      </div>
    </div>
    ${
      asking &&
      html`<${Confirm} title="Delete this dataset?" words="Delete" close=${() => setAsking(false)} deed=${async () => {
        await deleteDataset(id);
        navigate("/ui/datasets");
      }}><p>${found.path ? "Its index and pictures go; the folder itself stays as it is." : "The upload and everything made of it go."}
        Models that were trained on it stay.</p><//>`
    }
  </div>`;
}

function Counts({ found }) {
  const labels = Object.keys(found.labels);
  const splits = Object.entries(found.splits);
  return html`<section class="panel" aria-labelledby="counts">
    <h2 id="counts">Images</h2>
    <div class="table-box narrow" role="region" aria-label="Images by class and split" tabindex="0"><table>
      <thead><tr><th scope="col">Class</th><th scope="col">All</th>${splits.map(([name]) => html`<th scope="col">${SPLITS[name] ?? name}</th>`)}</tr></thead>
      <tbody>
        ${labels.map(
          (
            label,
          ) => html`<tr key=${label}><th scope="row">${label}</th><td>${whole(found.labels[label].images)}</td>
          ${splits.map(([, split]) => html`<td>${whole(split.labels[label] ?? 0)}</td>`)}</tr>`,
        )}
        ${
          splits.some(([, split]) => split.patients) &&
          html`<tr><th scope="row">patients</th><td>${found.patients ? whole(found.patients) : "–"}</td>
          ${splits.map(([, split]) => html`<td>${split.patients ? whole(split.patients) : "–"}</td>`)}</tr>`
        }
      </tbody></table></div>
    ${
      found.duplicates &&
      html`<p class="hint">${whole(found.duplicates.identical)} files with the bytes of another were left out;${" "}
      ${whole(found.duplicates.near_images)} images are nearly the same as another, and never in another split.</p>`
    }
    ${
      Object.keys(found.outliers).length > 0 &&
      html`<p class="hint">Unusual: ${Object.entries(found.outliers)
        .map(([flag, n]) => `${flag} ${whole(n)}`)
        .join(", ")}.</p>`
    }
  </section>`;
}

function Reasons({ found }) {
  const part = (title, count, reasons, files) =>
    count > 0 &&
    html`<section class="panel">
      <h2>${whole(count)} files ${title}</h2>
      <ul class="limits">${Object.entries(reasons).map(([reason, n]) => html`<li>${whole(n)}: ${reason}</li>`)}</ul>
      <details><summary>The files</summary>
        <div class="table-box" role="region" aria-label=${`Files ${title}`} tabindex="0"><table>
          <thead><tr><th scope="col">File</th><th scope="col">Reason</th></tr></thead>
          <tbody>${files.slice(0, 200).map((each) => html`<tr key=${each.file}><th scope="row">${each.file}</th><td>${each.reason}</td></tr>`)}</tbody>
        </table></div>
        ${count > 200 && html`<p class="hint">The first 200; GET /datasets/${found.id}/files lists all.</p>`}
      </details></section>`;
  return html`${part("refused", found.refused_count, found.refused_reasons, found.refused)}
    ${part("left out", found.left_out_count, found.left_out_reasons, found.left_out)}`;
}

const FIGURE_2 = [
  ["rotation", "Rotation, degrees", 30, 0, 180, 1],
  ["crop", "Crop, share of the side", 0.1, 0, 0.5, 0.01],
  ["scale", "Scale, share", 0, 0, 0.5, 0.01],
];

function Pictures({ id, labels }) {
  const [label, setLabel] = useState("");
  const [rule, setRule] = useState({ rotation: 30, crop: 0.1, scale: 0 });
  return html`
    <section class="panel" aria-labelledby="seen"><h2 id="seen">Files, and what a generator sees</h2>
      <div class="mosaic-box"><img class="mosaic" src=${datasetUrl(id, "sheet.png")} loading="lazy" alt="Images of the dataset before and after the loader" /></div></section>
    <section class="panel" aria-labelledby="contact"><div class="bar"><h2 id="contact">Contact sheet</h2>
        <div class="bar-end"><label for="contact-label">Class</label><select id="contact-label" value=${label} onChange=${(e) => setLabel(e.currentTarget.value)}>
          <option value="">all</option>${labels.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></div></div>
      <div class="mosaic-box"><img class="mosaic" loading="lazy" src=${datasetUrl(id, "thumbnails.png", { count: 120, ...(label ? { label } : {}) })}
        alt=${`Small images of ${label || "all classes"}`} /></div></section>
    <section class="panel" aria-labelledby="figure-2"><h2 id="figure-2">Augmentation, as in the paper's figure 2</h2>
      ${FIGURE_2.map(
        ([name, words, , low, high, step]) => html`<label for=${`rule-${name}`}>${words}</label>
        <${Slider} label=${words} value=${rule[name]} min=${low} max=${high} step=${step} control=${{ id: `rule-${name}` }}
          onChange=${(value) => setRule({ ...rule, [name]: Math.min(Math.max(value, low), high) })} />`,
      )}
      <div class="mosaic-box"><img class="mosaic" loading="lazy" src=${datasetUrl(id, "augmentation.png", rule)}
        alt="Images of the dataset, moved by each change alone and by all together" /></div></section>`;
}
