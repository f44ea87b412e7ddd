// One panel of the chart: a few lines over epochs, as SVG, with a legend that shows values.
import { h, svg } from "./dom.js";
import { number } from "./format.js";

const LEFT = 44;
const BUCKET = 3; // pixels; more points than this allows are drawn as their mean and range

/** Round steps that cut 0..max into three to six parts. */
function ticks(max) {
  const raw = max / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  return Array.from({ length: Math.floor(max / step + 1e-9) + 1 }, (_, i) => i * step);
}

/**
 * Means and ranges of the points in equal stretches of the x axis; stretches without points are
 * left out, so few points stay as they are.
 */
function bucketed(points, keys, xMax, count) {
  const buckets = new Map();
  for (const point of points) {
    const index = Math.min(count - 1, Math.floor((point.x / xMax) * count));
    if (!buckets.has(index)) buckets.set(index, []);
    buckets.get(index).push(point);
  }
  return [...buckets.values()].map((group) => {
    const bucket = { x: group.reduce((sum, p) => sum + p.x, 0) / group.length, n: group.length };
    for (const key of keys) {
      const values = group.map((p) => p[key]).filter(Number.isFinite);
      bucket[key] = values.length
        ? [
            values.reduce((a, b) => a + b, 0) / values.length,
            Math.min(...values),
            Math.max(...values),
          ]
        : null;
    }
    return bucket;
  });
}

/**
 * @param {{title: string, height: number, max?: number, log?: () => boolean,
 *   series: {key: string, name: string, kind: string}[], xAxis?: boolean}} options
 *   `max` fixes the y axis to 0..max with a line at its half.
 */
export function createPanel({ title, height, max, log = () => false, series, xAxis = false }) {
  const drawing = svg("svg", { class: "plot", role: "img", height });
  const values = series.map(() => h("span", { class: "value mono" }));
  const legend = series.map(({ name, kind }, i) => {
    const sample = svg("svg", { width: 22, height: 8, "aria-hidden": "true" });
    sample.append(svg("path", { d: "M0 4H22", class: `line ${kind}` }));
    return h("li", {}, sample, h("span", {}, name), values[i]);
  });
  const element = h(
    "div",
    { class: "chart-panel" },
    h("div", { class: "chart-head" }, h("h3", {}, title), h("ul", { class: "legend" }, ...legend)),
    drawing,
  );
  const bottom = xAxis ? 24 : 6;
  let state = null;

  const y = (value) => {
    const inner = height - bottom - 6;
    const { top, floor } = state;
    const share = log()
      ? Math.log(Math.max(value, floor) / floor) / Math.log(top / floor)
      : value / top;
    return 6 + inner * (1 - Math.min(Math.max(share, 0), 1));
  };
  const x = (epoch) => LEFT + (epoch / state.xMax) * (state.width - LEFT - 8);

  function scale(buckets) {
    const all = buckets
      .flatMap((b) => series.map(({ key }) => b[key]?.[0]))
      .filter(Number.isFinite);
    const most = all.length ? Math.max(...all) : 1;
    const least = all.length ? Math.min(...all) : 0.01;
    state.top = max ?? (log() ? 10 ** Math.ceil(Math.log10(most || 1)) : most * 1.05 || 1);
    state.floor = Math.min(
      Math.max(10 ** Math.floor(Math.log10(least || 1e-4)), 1e-4),
      state.top / 10,
    );
  }

  function axes() {
    const { top, floor, width, xMax } = state;
    const decades = [];
    for (let v = floor; v <= top * 1.001; v *= 10) decades.push(v);
    const marks = max ? [0, max / 2, max] : log() ? decades : ticks(top);
    const label = (v) =>
      v !== 0 && v < 0.01 ? v.toExponential(0) : String(Number(v.toPrecision(3)));
    const parts = marks.flatMap((v) => [
      svg("path", {
        class: max && v === max / 2 ? "half" : "rule",
        d: `M${LEFT} ${y(v)}H${width - 8}`,
      }),
      svg("text", { x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, label(v)),
    ]);
    if (!xAxis) return parts;
    for (const v of ticks(xMax)) {
      const end = x(v) > width - 24;
      const place = {
        x: end ? width - 8 : x(v),
        y: height - 6,
        "text-anchor": end ? "end" : "middle",
      };
      parts.push(svg("text", place, label(v)));
    }
    return parts;
  }

  function lines(buckets) {
    const bands = [];
    const paths = [];
    for (const { key, kind } of series) {
      const drawn = buckets.filter((b) => b[key]);
      if (drawn.some((b) => b.n > 1)) {
        const upper = drawn.map((b) => `${x(b.x).toFixed(1)} ${y(b[key][2]).toFixed(1)}`);
        const lower = drawn.map((b) => `${x(b.x).toFixed(1)} ${y(b[key][1]).toFixed(1)}`);
        bands.push(
          svg("path", {
            class: `band ${kind}`,
            d: `M${[...upper, ...lower.reverse()].join("L")}Z`,
          }),
        );
      }
      const d = drawn.map((b) => `${x(b.x).toFixed(1)} ${y(b[key][0]).toFixed(1)}`).join("L");
      if (d)
        paths.push(
          svg("path", { class: `line ${kind}`, d: `M${d}${drawn.length > 1 ? "" : "h.1"}` }),
        );
    }
    return [...bands, ...paths];
  }

  const upright = (kind, epoch) =>
    epoch === null || epoch > state.xMax
      ? []
      : [svg("path", { class: kind, d: `M${x(epoch).toFixed(1)} 6V${height - bottom}` })];

  const overlay = svg("g");

  return {
    element,
    drawing,
    /** The epoch under a place on the screen, or null outside the axes. */
    epochAt(clientX) {
      if (!state?.buckets.length) return null;
      const share =
        (clientX - drawing.getBoundingClientRect().left - LEFT) / (state.width - LEFT - 8);
      return share < -0.02 || share > 1.02 ? null : Math.min(Math.max(share, 0), 1) * state.xMax;
    },
    draw(points, xMax, width) {
      const keys = series.map(({ key }) => key);
      const count = Math.max(8, Math.floor((width - LEFT - 8) / BUCKET));
      state = { xMax, width, buckets: bucketed(points, keys, xMax, count) };
      scale(state.buckets);
      drawing.setAttribute("width", String(width));
      drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
      drawing.replaceChildren(...axes(), ...lines(state.buckets), overlay);
      const last = state.buckets.at(-1);
      const told = series.map(({ key, name }) => `${name} ${number(last?.[key]?.[0])}`).join(", ");
      const label = last
        ? `${title} at epoch ${number(last.x)}: ${told}.`
        : `${title}: no values yet.`;
      drawing.setAttribute("aria-label", label);
    },
    /** Where the pointer is and which epoch the samples show; null for neither. */
    mark(cursor, chosen) {
      if (!state) return;
      let near = state.buckets.at(-1);
      if (cursor !== null) {
        const far = (b) => Math.abs(b.x - cursor);
        near = state.buckets.reduce((a, b) => (far(b) < far(a) ? b : a), state.buckets[0]);
      }
      series.forEach(({ key }, i) => (values[i].textContent = number(near?.[key]?.[0])));
      overlay.replaceChildren(
        ...upright("chosen", chosen),
        ...upright("cursor", cursor === null ? null : (near?.x ?? null)),
      );
    },
  };
}
