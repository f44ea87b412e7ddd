// The live chart of a run: losses above, D's outputs below, one cursor, and the same as a table.
import { number } from "../format.js";
import { Slider, Toggle } from "../parts.js";
import { kept } from "../store.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/ui/ui.js";
import uPlot from "../vendor/uplot/uplot.js";

const DRAW_MS = 400;
const SYNC = "run";
const smoothing = kept("smoothing", 0, (v) => typeof v === "number" && v >= 0 && v < 1);
/** @type {[string, string, string, number[], number][]} key, name, colour, dash, width */
const LOSSES = [
  ["loss_d", "D", "--loss-d", [], 2],
  ["loss_g", "G", "--loss-g", [6, 4], 2],
];
const BELIEFS = [
  ["d_x", "D(x)", "--d-x", [], 1.5],
  ["d_g_z1", "D(G(z)) before", "--d-gz", [3, 3], 1.5],
  ["d_g_z2", "D(G(z)) after", "--d-gz", [1, 3], 2],
];
const GLOSSARY = [
  ["Loss D, Loss G", "What the discriminator and the generator each try to make small."],
  ["D(x)", "The discriminator's mean belief that real images are real: 1 is certain."],
  [
    "D(G(z))",
    "The same for synthetic images, before and after its own step. Near 0.5 on both, the two are in balance.",
  ],
];

/** An exponential mean that begins at the first value. @param {number} share kept of the past */
function smoothed(values, share) {
  let last = null;
  return values.map((value) => {
    if (!Number.isFinite(value)) return null;
    last = last === null ? value : share * last + (1 - share) * value;
    return last;
  });
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options({ series, width, height, log, fixed, xAxis, marks }) {
  const axis = {
    stroke: ink("--fg2"),
    grid: { stroke: ink("--line"), width: 1 },
    ticks: { stroke: ink("--line"), width: 1 },
    font: "12px Inter Variable, sans-serif",
  };
  return {
    width,
    height,
    pxAlign: 1,
    padding: [8, 16, xAxis ? 0 : 8, 0], // both panels end at the same place
    legend: { show: false },
    cursor: { sync: { key: SYNC }, y: false, points: { size: 5 }, drag: { x: true, y: false } },
    scales: {
      x: { time: false },
      y: fixed
        ? { range: [0, 1] }
        : {
            distr: log ? 3 : 1,
            range: log ? undefined : (_, low, high) => [Math.min(0, low), high * 1.05 || 1],
          },
    },
    axes: [
      { ...axis, show: xAxis, size: 28, label: undefined },
      {
        ...axis,
        size: 52,
        values: (_, all) => all.map((v) => (v === null ? "" : String(Number(v.toPrecision(3))))),
      },
    ],
    series: [
      {},
      ...series.map(([, label, colour, dash, thick]) => ({
        label,
        stroke: ink(colour),
        dash,
        width: thick,
        spanGaps: true,
        points: { show: (u, i) => u.data[i].length < 2 },
      })),
    ],
    hooks: {
      draw: [
        (u) => {
          const { ctx } = u;
          const line = (x0, y0, x1, y1, colour, dash) => {
            ctx.save();
            ctx.strokeStyle = colour;
            ctx.setLineDash(dash);
            ctx.beginPath();
            ctx.moveTo(x0, y0);
            ctx.lineTo(x1, y1);
            ctx.stroke();
            ctx.restore();
          };
          const { left, top, width: w, height: h } = u.bbox;
          if (fixed)
            line(
              left,
              u.valToPos(0.5, "y", true),
              left + w,
              u.valToPos(0.5, "y", true),
              ink("--ctl"),
              [],
            );
          const chosen = marks.current;
          if (chosen !== null && chosen <= u.scales.x.max)
            line(
              u.valToPos(chosen, "x", true),
              top,
              u.valToPos(chosen, "x", true),
              top + h,
              ink("--fg2"),
              [1, 3],
            );
        },
      ],
    },
  };
}

/** One panel. @param {{title: string, series: any[], height: number, data: any[][], log?: boolean, fixed?: boolean, xAxis?: boolean, marks: any, told: Function}} props */
function Panel({
  title,
  series,
  height,
  data,
  log = false,
  fixed = false,
  xAxis = false,
  marks,
  told,
}) {
  const place = useRef(null);
  const plot = useRef(null);
  const [values, setValues] = useState([]);
  const show = (u) => {
    const at = u.cursor.idx ?? u.data[0].length - 1;
    setValues(series.map((_, i) => u.data[i + 1]?.[at]));
    told(u.cursor.idx === null || u.cursor.idx === undefined ? null : u.data[0][at]);
  };
  useLayoutEffect(() => {
    const make = () => {
      plot.current?.destroy();
      const width = Math.floor(place.current.clientWidth);
      const given = options({
        series,
        width: Math.max(width, 120),
        height,
        log,
        fixed,
        xAxis,
        marks,
      });
      given.hooks.setCursor = [show];
      given.hooks.setData = [show];
      plot.current = new uPlot(given, latest.current, place.current);
      show(plot.current);
    };
    const watcher = new ResizeObserver(() => {
      const width = Math.floor(place.current?.clientWidth ?? 0);
      if (width > 80 && plot.current && plot.current.width !== width)
        plot.current.setSize({ width, height });
    });
    make();
    watcher.observe(place.current);
    const theme = new MutationObserver(make);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      watcher.disconnect();
      theme.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [log]);
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => plot.current?.setData(data), [data]);
  useEffect(() => plot.current?.redraw(false), [marks.current]);
  const last = data[0].length - 1;
  const said =
    last < 0
      ? `${title}: no values yet.`
      : `${title} at epoch ${number(data[0][last])}: ${series.map(([, name], i) => `${name} ${number(data[i + 1][last])}`).join(", ")}.`;
  return html`<div class="chart-panel">
    <div class="chart-head"><h3>${title}</h3><ul class="legend">
      ${series.map(
        ([key, name, colour, dash, thick], i) => html`<li key=${key}>
        <svg width="22" height="8" aria-hidden="true"><path d="M0 4H22" fill="none" style=${{ stroke: `var(${colour})` }}
          stroke-width=${thick} stroke-dasharray=${dash.join(" ")} /></svg>
        <span>${name}</span><span class="value mono">${number(values[i])}</span></li>`,
      )}
    </ul></div>
    <div class="plot" ref=${place} role="img" aria-label=${said}></div>
  </div>`;
}

/** @param {{metrics: {current: import("./metrics.js").Metrics}, turn: number, chosen: number | null, save: any}} props turn: changes with the metrics */
export function Chart({ metrics, turn, chosen, children }) {
  const [log, setLog] = useState(false);
  const [paused, setPaused] = useState(false);
  const [table, setTable] = useState(false);
  const [cursor, setCursor] = useState(null);
  const [drawn, setDrawn] = useState({ data: [[], [], [], [], [], []], rows: [] });
  const marks = useRef(chosen);
  marks.current = chosen;
  const share = smoothing.value;
  useEffect(() => {
    if (paused) return undefined;
    // Many events in a burst draw once.
    const timer = setTimeout(() => {
      const points = metrics.current.points();
      const column = (key) => points.map((p) => p[key]);
      const soft = (key) => (share ? smoothed(column(key), share) : column(key));
      setDrawn({
        data: [column("x"), ...[...LOSSES, ...BELIEFS].map(([key]) => soft(key))],
        rows: metrics.current.epochs(),
      });
    }, DRAW_MS);
    return () => clearTimeout(timer);
  }, [turn, paused, share]);
  const { data, rows } = drawn;
  return html`<section class="panel" aria-labelledby="curves">
    <div class="bar"><h2 id="curves">Curves</h2>
      <span class="hint">${cursor === null ? "" : `epoch ${cursor.toFixed(2)}`}</span>
      <div class="bar-end">
        <${Toggle} on=${log} onChange=${setLog}>Log scale<//>
        <${Toggle} on=${paused} onChange=${setPaused}>Pause updates<//>
        <${Toggle} on=${table} onChange=${setTable}>Data table<//>
        ${children}
      </div></div>
    ${data[0].length === 0 && html`<p class="hint waiting">The curves begin with the first step.</p>`}
    ${
      data[0].length > 0 &&
      !table &&
      html`<div class="plots">
      <${Panel} key=${`loss ${log}`} title="Loss" series=${LOSSES} height=${212} data=${data.slice(0, 3)} log=${log} marks=${marks} told=${setCursor} />
      <${Panel} title="D(x), D(G(z))" series=${BELIEFS} height=${172} data=${[data[0], ...data.slice(3)]} fixed xAxis marks=${marks} told=${setCursor} />
    </div>`
    }
    ${table && html`<${Table} rows=${rows} />`}
    <details class="glossary"><summary>What the curves mean, and smoothing</summary>
      <dl>${GLOSSARY.map(([term, words]) => html`<dt>${term}</dt><dd>${words}</dd>`)}</dl>
      <label for="smooth">Smoothing: share of the past in each point</label>
      <${Slider} label="Smoothing" value=${share} min="0" max="0.99" step="0.01" control=${{ id: "smooth" }}
        onChange=${(v) => (smoothing.value = Math.min(Math.max(v, 0), 0.99))} />
      <p class="hint">Drag over a stretch to enlarge it, double-click for all of it.</p>
    </details>
  </section>`;
}

function Table({ rows }) {
  const columns = [...LOSSES.map(([key, name]) => [key, `Loss ${name}`]), ...BELIEFS];
  return html`<div class="table-box" role="region" aria-label="Values by epoch" tabindex="0"><table>
    <thead><tr><th scope="col">Epoch</th>${columns.map(([, name]) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.epoch}><th scope="row">${row.epoch}</th>${columns.map(([key]) => html`<td>${number(row[key])}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
