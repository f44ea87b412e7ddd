// Two versions on the same seeds, and where their reports differ by more than noise.
import { models, sampleUrl } from "../api.js";
import { number } from "../format.js";
import { readdress } from "../navigate.js";
import { Banner, Field, useAsked } from "../parts.js";
import { html, useState } from "../vendor/ui/ui.js";
import { compareModels } from "./service.js";

const SEEDS = 8;

export default function CompareModelsPage() {
  const query = new URLSearchParams(location.search);
  const [one, setOne] = useState(query.get("one") ?? "");
  const [other, setOther] = useState(query.get("other") ?? "");
  const [label, setLabel] = useState(query.get("label") ?? "");
  const [start, setStart] = useState(Number(query.get("seed") ?? 0));
  const { content: listed } = useAsked((signal) => models(signal), []);
  const { content, problem, waiting, again } = useAsked(
    (signal) => (one && other ? compareModels(one, other, signal) : Promise.resolve(null)),
    [one, other],
  );
  const usable = (listed?.data ?? []).filter((m) => m.usable);
  const both = [one, other].map((r) => usable.find((m) => m.reference === r));
  const shared = (both[0]?.labels ?? []).filter((l) => both[1]?.labels.includes(l));
  function set(change) {
    const next = { one, other, label, seed: start, ...change };
    setOne(next.one);
    setOther(next.other);
    setLabel(next.label);
    setStart(next.seed);
    readdress(`?${new URLSearchParams(next)}`);
  }
  const pick = (name, value, words) =>
    html`<${Field} label=${words}>${(tied) => html`<select ...${tied} value=${value}
    onChange=${(event) => set({ [name]: event.currentTarget.value })}>
    ${usable.map((m) => html`<option key=${m.reference} value=${m.reference}>${m.reference}</option>`)}</select>`}<//>`;
  const seeds = Array.from({ length: SEEDS }, (_, i) => start + i);
  return html`<div class="run-page">
    <p><a href="/ui/models" class="back">Models</a></p>
    <h1 tabindex="-1">Compare two versions</h1>
    <form class="panel row-form" onSubmit=${(event) => event.preventDefault()}>
      ${pick("one", one, "One")}${pick("other", other, "The other")}
      <${Field} label="Class">${(
        tied,
      ) => html`<select ...${tied} value=${label} onChange=${(e) => set({ label: e.currentTarget.value })}>
        <option value="">drawn from the seed</option>${shared.map((l) => html`<option key=${l} value=${l}>${l}</option>`)}</select>`}<//>
      <${Field} label="First seed">${(
        tied,
      ) => html`<input ...${tied} type="number" min="0" step="1" value=${start}
        onChange=${(e) => Number.isSafeInteger(Number(e.currentTarget.value)) && set({ seed: Number(e.currentTarget.value) })} />`}<//>
    </form>
    ${[one, other].map(
      (reference, i) =>
        both[i] &&
        html`<section class="strip" aria-label=${reference}>
      <h2>${reference}</h2>
      <ul>${seeds.map(
        (
          seed,
        ) => html`<li key=${`${reference} ${label} ${seed}`}><div class="viewport"><img loading="lazy" width=${both[i].resolution}
          height=${both[i].resolution} src=${sampleUrl(reference, label || null, seed, 1)}
          alt=${`Synthetic ${label || "chest X-ray"} of ${reference}, seed ${seed}`} /></div>
        <span class="mono">${seed}</span></li>`,
      )}</ul>
    </section>`,
    )}
    <section class="panel" aria-labelledby="differences">
      <h2 id="differences">Reports</h2>
      ${problem && !waiting && html`<${Banner} problem=${problem} again=${again} />`}
      ${waiting && one && other && html`<p class="hint">Comparing …</p>`}
      ${
        content &&
        !waiting &&
        !problem &&
        (content.differences.length === 0
          ? html`<p class="hint">Their reports do not differ by more than noise.</p>`
          : html`<div class="table-box" role="region" aria-label="Differences" tabindex="0"><table>
          <thead><tr><th scope="col">Measure</th><th scope="col">Class</th><th scope="col">${content.one.model}</th><th scope="col">${content.other.model}</th>
            <th scope="col">real images</th><th scope="col">Nearer</th></tr></thead>
          <tbody>${content.differences.map(
            (d) => html`<tr key=${`${d.metric} ${d.label}`}>
            <th scope="row">${d.metric.replaceAll("_", " ")}</th><td>${d.label}</td><td>${number(d.one)}</td><td>${number(d.other)}</td>
            <td class="real">${number(d.floor)}</td><td>${d.better === "none" ? "no difference" : content[d.better].model}</td></tr>`,
          )}
          </tbody></table></div>`)
      }
    </section>
  </div>`;
}
