// Two to six runs: their losses over each other, and only what differs between them.
import { mosaicUrl, run, runMetrics } from "../api.js";
import { number } from "../format.js";
import { Banner, Toggle, useAsked } from "../parts.js";
import { flat } from "../settings.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/ui/ui.js";
import uPlot from "../vendor/uplot/uplot.js";
import { statusWord } from "./service.js";

const INKS = ["--loss-d", "--loss-g", "--d-x", "--d-gz", "--synthetic", "--warn"];
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3], [1, 3], [12, 4]];
const CURVES = [
  ["loss_g", "Loss G"],
  ["loss_d", "Loss D"],
  ["d_x", "D(x)"],
  ["d_g_z1", "D(G(z))"],
];

async function everything(ids, signal) {
  return Promise.all(
    ids.map(async (id) => {
      const [job, numbers] = await Promise.all([
        run(id, signal),
        runMetrics(id, signal).catch(() => ({ data: [] })),
      ]);
      return { job, epochs: numbers.data.filter((line) => line.scope === "epoch") };
    }),
  );
}

export default function CompareRunsPage() {
  const ids = (new URLSearchParams(location.search).get("runs") ?? "")
    .split(",")
    .filter(Boolean)
    .slice(0, INKS.length);
  const { content, problem, again } = useAsked((signal) => everything(ids, signal), []);
  const [differing, setDiffering] = useState(true);
  const head = html`<p><a href="/ui/runs" class="back">Runs</a></p><h1 tabindex="-1">Compare runs</h1>`;
  if (problem)
    return html`<div class="run-page">${head}<${Banner} problem=${problem} again=${again} /></div>`;
  if (!content) return html`<div class="run-page">${head}</div>`;
  if (content.length < 2)
    return html`<div class="run-page">${head}<p class="empty">Select two to six runs in the list of runs.</p></div>`;
  const tables = content.map(
    ({ job, epochs }) =>
      new Map([
        ["status", statusWord(job)],
        ["preset", job.preset],
        ["data", job.dataset?.path ?? job.dataset?.id ?? "–"],
        ["epochs done", String(epochs.length)],
        ["loss D, last", number(epochs.at(-1)?.loss_d)],
        ["loss G, last", number(epochs.at(-1)?.loss_g)],
        ["images / s", number(epochs.at(-1)?.images_per_second)],
        ...flat(job.config),
      ]),
  );
  const names = [...new Set(tables.flatMap((table) => [...table.keys()]))];
  const shown = names.filter(
    (name) => !differing || new Set(tables.map((table) => table.get(name))).size > 1,
  );
  const title = ({ job }) =>
    html`<a href=${`/ui/runs/${job.id}`}>${job.publish_as}</a> <span class="hint mono">${job.id}</span>`;
  return html`<div class="run-page">${head}
    <section class="panel" aria-label="Curves">
      <ul class="legend">${content.map(
        (each, i) => html`<li key=${each.job.id}>
        <svg width="22" height="8" aria-hidden="true"><path d="M0 4H22" fill="none" style=${{ stroke: `var(${INKS[i]})` }} stroke-width="2" stroke-dasharray=${DASHES[i].join(" ")} /></svg>
        ${title(each)}</li>`,
      )}</ul>
      <div class="two-plots">${CURVES.map(([key, name]) => html`<${Curve} key=${key} title=${name} of=${key} runs=${content} />`)}</div>
    </section>
    <section class="panel" aria-labelledby="differences">
      <div class="bar"><h2 id="differences">Settings</h2><div class="bar-end">
        <${Toggle} on=${differing} onChange=${setDiffering}>Only differences<//></div></div>
      <div class="table-box" role="region" aria-label="Settings of the runs" tabindex="0"><table>
        <thead><tr><th scope="col"></th>${content.map((each) => html`<th scope="col">${title(each)}</th>`)}</tr></thead>
        <tbody>${shown.map((name) => html`<tr key=${name}><th scope="row">${name}</th>${tables.map((table) => html`<td>${table.get(name) ?? "–"}</td>`)}</tr>`)}</tbody>
      </table></div>
      ${shown.length === 0 && html`<p class="hint">Nothing differs.</p>`}
    </section>
    <section class="panel" aria-labelledby="last"><h2 id="last">Newest samples</h2>
      <div class="pair-of">${content
        .filter(({ epochs }) => epochs.length)
        .map(
          ({ job, epochs }) => html`<figure key=${job.id}>
        <figcaption class="hint">${job.publish_as}, epoch ${epochs.at(-1).epoch}</figcaption>
        <div class="mosaic-box"><img class="mosaic" loading="lazy" src=${mosaicUrl(job.id, epochs.at(-1).epoch)} alt=${`Synthetic images of ${job.publish_as}, epoch ${epochs.at(-1).epoch}`} /></div></figure>`,
        )}</div>
    </section>
  </div>`;
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function Curve({ title, of, runs }) {
  const place = useRef(null);
  useLayoutEffect(() => {
    const epochs = [...new Set(runs.flatMap((each) => each.epochs.map((line) => line.epoch)))].sort(
      (a, b) => a - b,
    );
    const data = [
      epochs,
      ...runs.map(({ epochs: lines }) => {
        const by = new Map(lines.map((line) => [line.epoch, line[of]]));
        return epochs.map((epoch) => by.get(epoch) ?? null);
      }),
    ];
    const axis = {
      stroke: ink("--fg2"),
      grid: { stroke: ink("--line"), width: 1 },
      ticks: { show: false },
      font: "12px Inter Variable, sans-serif",
    };
    const draw = () =>
      new uPlot(
        {
          width: Math.max(place.current.clientWidth, 120),
          height: 180,
          legend: { show: false },
          scales: { x: { time: false } },
          cursor: { sync: { key: "runs" } },
          axes: [axis, { ...axis, size: 52 }],
          series: [
            {},
            ...runs.map((_, i) => ({
              stroke: ink(INKS[i]),
              width: 2,
              dash: DASHES[i],
              spanGaps: true,
            })),
          ],
        },
        data,
        place.current,
      );
    let plot = draw();
    const watcher = new ResizeObserver(() =>
      plot.setSize({ width: Math.max(place.current.clientWidth, 120), height: 180 }),
    );
    watcher.observe(place.current);
    const theme = new MutationObserver(() => (plot.destroy(), (plot = draw())));
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => (watcher.disconnect(), theme.disconnect(), plot.destroy());
  }, []);
  const said = runs
    .map(({ job, epochs }) => `${job.publish_as} ${number(epochs.at(-1)?.[of])}`)
    .join(", ");
  return html`<div class="chart-panel"><h3>${title}</h3><div ref=${place} role="img" aria-label=${`${title} by epoch; last: ${said}`}></div></div>`;
}
