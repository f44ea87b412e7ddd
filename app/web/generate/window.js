// Window and level, as DICOM defines them, by one SVG filter for all images: the pixels themselves,
// and what is downloaded, stay as they are.
import { Segments, Slider, Toggle } from "../parts.js";
import { kept } from "../store.js";
import { html } from "../vendor/ui/ui.js";

export const FULL = { width: 256, level: 128, invert: false };
/** @type {[string, string, {width: number, level: number}][]} key, name, values in grey levels */
export const PRESETS = [
  ["1", "Full", { width: 256, level: 128 }],
  ["2", "Lungs", { width: 150, level: 90 }],
  ["3", "Middle", { width: 140, level: 175 }],
  ["4", "Contrast", { width: 96, level: 128 }],
];

const inside = (v, low, high) => Number.isFinite(v) && v >= low && v <= high;
export const shown = kept(
  "window",
  FULL,
  (v) => inside(v.width, 2, 512) && inside(v.level, 0, 255) && typeof v.invert === "boolean",
);

/**
 * The line that the filter draws on values in 0…1: PS3.3 C.11.2.1.2 (linear) on 0…255,
 * y = ((x - (level - 0.5)) / (width - 1) + 0.5), clamped to 0…1; inverted: 1 - y.
 */
export function line({ width, level, invert }) {
  const slope = 255 / (width - 1);
  const intercept = 0.5 - (level - 0.5) / (width - 1);
  return invert ? { slope: -slope, intercept: 1 - intercept } : { slope, intercept };
}

export const untouched = ({ width, level, invert }) => width === 256 && level === 128 && !invert;

/** The filter that `.windowed` images name; none is needed where nothing changes. */
export function WindowFilter() {
  const { slope, intercept } = line(shown.value);
  const part = { type: "linear", slope, intercept };
  return html`<svg class="unseen" width="0" height="0" aria-hidden="true">
    <filter id="window" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1">
      <feComponentTransfer>
        <feFuncR ...${part} /><feFuncG ...${part} /><feFuncB ...${part} />
      </feComponentTransfer>
    </filter>
  </svg>`;
}

const set = (change) => (shown.value = { ...shown.value, ...change });
const clamp = (v, low, high) => Math.min(Math.max(Math.round(v), low), high);
export const setWidth = (width) => set({ width: clamp(width, 2, 512) });
export const setLevel = (level) => set({ level: clamp(level, 0, 255) });
export const invert = () => set({ invert: !shown.value.invert });
export const reset = () => (shown.value = FULL);

/** @type {[string, string, () => void][]} */
export const WINDOW_KEYS = [
  ...PRESETS.map(([key, name, values]) => [key, `Window: ${name}`, () => set(values)]),
  ["i", "Invert", invert],
  ["Space", "Window, level and zoom as they were", reset],
];

/** Sliders, boxes and presets; beside them what else changes how a picture is shown. */
export function WindowControls({ children }) {
  const { width, level, invert: inverted } = shown.value;
  const preset = PRESETS.find(([, , v]) => v.width === width && v.level === level);
  return html`<fieldset class="window">
    <legend>Window and level</legend>
    <label for="window-width">Window</label>
    <${Slider} label="Window" value=${width} min="2" max="512" step="1" onChange=${setWidth}
      control=${{ id: "window-width" }} />
    <label for="window-level">Level</label>
    <${Slider} label="Level" value=${level} min="0" max="255" step="1" onChange=${setLevel}
      control=${{ id: "window-level" }} />
    <div class="bar">
      <${Segments} label="Presets" value=${preset?.[0] ?? ""}
        options=${PRESETS.map(([key, name]) => [key, name, `${name} (${key})`])}
        onChange=${(key) => set(PRESETS.find(([name]) => name === key)[2])} />
      <${Toggle} on=${inverted} onChange=${invert}>Invert<//>
      <button type="button" class="small" disabled=${untouched(shown.value)} onClick=${reset}>Reset</button>
      ${children}
    </div>
  </fieldset>`;
}
