// The Models page: every version, its thumbnail, its lights, and which one is served.
import { Problem, models } from "../api.js";
import { described } from "../generate/request.js";
import { ago, guarantee } from "../format.js";
import { Banner, announce, useAsked } from "../parts.js";
import { html, useState } from "../vendor/ui/ui.js";
import { Lights } from "./lights.js";
import { activate, gridUrl } from "./service.js";

export default function ModelsPage() {
  const { content, problem, again } = useAsked((signal) => models(signal), []);
  const [failed, setFailed] = useState(null);
  const [chosen, setChosen] = useState([]);
  const [working, setWorking] = useState("");
  async function serve(reference) {
    setWorking(reference);
    setFailed(null);
    try {
      await activate(reference);
      announce(`${reference} is served now`);
      again();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setFailed(error);
    }
    setWorking("");
  }
  const choose = (reference) =>
    setChosen((before) =>
      before.includes(reference)
        ? before.filter((r) => r !== reference)
        : [...before.slice(-1), reference],
    );
  return html`<section class="results" aria-label="Models">
    <div class="bar">
      <h1 tabindex="-1">Models</h1>
      <div class="bar-end">
        ${
          chosen.length === 2
            ? html`<a class="button small" href=${`/ui/models/compare?one=${chosen[0]}&other=${chosen[1]}`}>Compare the two</a>`
            : html`<span class="hint">Select two to compare them on the same seeds.</span>`
        }
      </div>
    </div>
    ${(problem ?? failed) && html`<${Banner} problem=${problem ?? failed} again=${problem && again} />`}
    ${
      content?.data.length === 0 &&
      html`<div class="empty"><h2>No model yet</h2>
      <p>Train one from your images: a folder or ZIP with one sub-folder per class.</p>
      <p><a class="button" href="/ui/runs">Train a model</a></p></div>`
    }
    <ul class="cards">
      ${(content?.data ?? []).map(
        (entry) => html`<li class="panel card" key=${entry.reference}>
        ${
          entry.usable
            ? html`<a class="viewport" href=${`/ui/models/${entry.reference}`} tabindex="-1" aria-hidden="true">
            <img src=${gridUrl(entry.reference)} alt="" width="528" height="528" loading="lazy" /></a>`
            : html`<div class="viewport"></div>`
        }
        <div class="stack">
          <div class="bar">
            <h2>${entry.usable ? html`<a href=${`/ui/models/${entry.reference}`}>${entry.reference}</a>` : entry.reference}</h2>
            ${entry.active && html`<span class="badge">served</span>`}
            ${entry.private && html`<span class="badge">private data</span>`}
            ${entry.differential_privacy && html`<span class="badge">${guarantee(entry.differential_privacy)}</span>`}
          </div>
          ${
            entry.usable
              ? html`<p class="hint">${described(entry)} · published ${ago(entry.created)}</p>
              <p class="hint">${entry.labels.length ? `Classes ${entry.labels.join(", ")}` : "One distribution, no classes"}</p>
              ${entry.report ? html`<${Lights} lights=${entry.report.lights} />` : html`<p class="hint">Not evaluated yet.</p>`}
              <div class="bar">
                <a class="button small" href=${`/?model=${entry.reference}&count=16&seed=42&truncation=1`}>Generate</a>
                ${
                  !entry.active &&
                  html`<button type="button" class="small" disabled=${working !== ""}
                  onClick=${() => serve(entry.reference)}>${working === entry.reference ? "Loading…" : "Serve by default"}</button>`
                }
                <label class="check"><input type="checkbox" checked=${chosen.includes(entry.reference)}
                  onChange=${() => choose(entry.reference)} /> Compare</label>
              </div>`
              : html`<p class="error">It cannot be used: ${entry.reason}</p>`
          }
        </div>
      </li>`,
      )}
    </ul>
  </section>`;
}
