// The results of a study: each contrast with its interval, the figures, what is to be taken along.
import { number } from "../format.js";
import { html } from "../vendor/ui/ui.js";
import { Own } from "./own.js";
import { METRICS, VERDICTS, armName, classifierName, pValue, within } from "./words.js";

/**
 * @param {{study: any, results: any, changed: () => void}} props as GET /studies/{id} and its
 * results.json; changed: the study is to be asked for again
 */
export function Results({ study, results, changed }) {
  const figures = Object.keys(study.links).filter((name) => /^figures\/.*\.svg$/.test(name));
  figures.sort((one, other) => place(one) - place(other));
  return html`<${Contrasts} results=${results} />
    ${
      figures.length > 0 &&
      html`<section class="panel stack" aria-labelledby="figures">
      <h2 id="figures">Figures</h2>
      ${figures.map(
        (name) => html`<figure key=${name} class="study-figure">
        <img src=${study.links[name]} alt=${`${caption(name)}; the tables hold its numbers`} />
        <figcaption class="hint">${caption(name)}</figcaption></figure>`,
      )}
    </section>`
    }
    <${Arms} results=${results} />
    <${Doubts} results=${results} />
    <${Files} study=${study} />
    <${Own} study=${study} changed=${changed} />`;
}

function Contrasts({ results }) {
  const { contrasts, config } = results;
  const sized = new Set(contrasts.map((c) => c.size)).size > 1;
  const delta = config.smallest_useful_effect;
  const sorted = [...contrasts].sort((one, other) => Number(other.primary) - Number(one.primary));
  return html`<section class="panel stack" aria-labelledby="contrasts">
    <h2 id="contrasts">Differences</h2>
    <p class="hint">With a 95 % interval over patients, draws and seeds. The first was fixed beforehand and
      decides; the others are corrected for their number (Holm). What is less than ${delta} was said to be
      of no use.</p>
    <div class="table-box" role="region" aria-label="Differences" tabindex="0"><table>
      <thead><tr><th scope="col">Arm</th><th scope="col" class="words">against</th><th scope="col" class="words">Classifier</th>
        ${sized && html`<th scope="col">Share</th>`}<th scope="col" class="words">Measure</th><th scope="col">Difference</th>
        <th scope="col">p</th><th scope="col" class="words">Verdict</th></tr></thead>
      <tbody>${sorted.map(
        (c, i) => html`<tr key=${i} class=${c.primary ? "primary-row" : ""}>
        <th scope="row">${armName(c.arm, c.ratio)}</th>
        <td class="words">${armName(c.control, c.control === "duplicates" ? c.ratio : null)}</td><td class="words">${classifierName(c.classifier)}</td>
        ${sized && html`<td>${c.size}</td>`}<td class="words">${METRICS[c.metric] ?? c.metric}</td>
        <td>${within(c.difference, c.interval)}</td>
        <td>${pValue(c.primary ? c.p : c.p_holm)}</td>
        <td class="words">${c.difference === null ? VERDICTS.none.short : VERDICTS[c.verdict].short}</td></tr>`,
      )}</tbody></table></div>
  </section>`;
}

function Arms({ results }) {
  const sized = new Set(results.arms.map((arm) => arm.size)).size > 1;
  const metric = results.config.metric;
  const columns = [...new Set([metric, "auroc", "auprc", "sensitivity", "brier"])];
  const words = { sensitivity: "Sensitivity", brier: "Brier score", ...METRICS };
  return html`<section class="panel" aria-label="Arms">
    <details><summary>Each arm</summary>
    <div class="table-box" role="region" aria-label="Arms" tabindex="0"><table>
      <thead><tr><th scope="col">Trained on</th><th scope="col" class="words">Classifier</th>${sized && html`<th scope="col">Share</th>`}
        ${columns.map((name) => html`<th scope="col" key=${name}>${words[name]}</th>`)}<th scope="col">Runs</th></tr></thead>
      <tbody>${results.arms.map(
        (
          arm,
          i,
        ) => html`<tr key=${i}><th scope="row">${armName(arm.arm, arm.ratio)}</th><td class="words">${classifierName(arm.classifier)}</td>
        ${sized && html`<td>${arm.size}</td>`}
        ${columns.map((name) => html`<td key=${name}>${arm.metrics[name] ? within(arm.metrics[name].value, arm.metrics[name].interval, number) : "–"}</td>`)}
        <td>${arm.runs}</td></tr>`,
      )}</tbody></table></div>
    </details>
  </section>`;
}

/** Why a benefit may be none: what a classifier could have learned instead, and what was not asked. */
function Doubts({ results }) {
  const order = ["red", "amber", "grey", "green"];
  const checks = [...results.checks].sort(
    (one, other) => order.indexOf(one.verdict) - order.indexOf(other.verdict),
  );
  return html`<section class="panel stack" aria-labelledby="doubts">
    <h2 id="doubts">What to doubt</h2>
    <ul class="checks">${checks.map(
      (
        check,
        i,
      ) => html`<li key=${i} class=${`light ${check.verdict === "grey" ? "none" : check.verdict}`}>
      <span class="unseen">${check.verdict}: </span>${check.text}</li>`,
    )}</ul>
    ${results.limits.length > 0 && html`<ul class="limits">${results.limits.map((limit, i) => html`<li key=${i}>${limit}</li>`)}</ul>`}
  </section>`;
}

function Files({ study }) {
  const links = study.links;
  const name = (key) => key.replace(/^(tables|figures)\//, "");
  const tables = Object.keys(links).filter((key) => key.startsWith("tables/"));
  const pages = ["results.html", "methods.md", "results.json"].filter((key) => key in links);
  return html`<section class="panel stack" aria-labelledby="files">
    <h2 id="files">For a paper</h2>
    <ul class="study-files">
      ${pages.map((key) => html`<li key=${key}><a href=${links[key]} target="_blank">${key}</a></li>`)}
      ${tables.map((key) => html`<li key=${key}><a href=${links[key]} download>${name(key)}</a></li>`)}
      <li><a href=${links["results.zip"]} download>results.zip</a> <span class="hint">all of it</span></li>
    </ul>
  </section>`;
}

const FIGURES = {
  primary: "The difference that decides, its 95 % interval, and what is too small to matter",
  "low-data": "With less data",
  contrasts: "All differences",
  arms: "What each arm reaches",
};

/** "figures/low-data.svg" → "With less data" */
function caption(name) {
  const key = stem(name);
  return FIGURES[key] ?? key.replaceAll(/[-_]/g, " ");
}

const stem = (name) => name.replace(/^figures\//, "").replace(/\.svg$/, "");

/** The one that decides comes first. */
function place(name) {
  const at = Object.keys(FIGURES).indexOf(stem(name));
  return at < 0 ? Infinity : at;
}
