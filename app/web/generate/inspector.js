// One image, large: zoom, window and level, what made it, and the way to another seed.
import { sampleUrl } from "../api.js";
import { CopyButton, Icon, Toggle } from "../parts.js";
import { kept } from "../store.js";
import { useShortcuts } from "../keys.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";
import { alt, fileName, pixels } from "./grid.js";
import { Nearest } from "./nearest.js";
import { Scrubber } from "./scrubber.js";
import { WindowControls, setLevel, setWidth, shown } from "./window.js";

const ZOOM_MAX = 8;
const overlays = kept("overlays", true, (value) => typeof value === "boolean");

/**
 * A black square that shows a picture.  Dragging sets window (across) and level (down), as viewers of
 * radiographs do; on an enlarged picture it moves that, and so do the arrow keys.
 * @param {{src: string, width: number, label: string, zoom: number, children?: any}} props
 */
export function Viewport({ src, width, label, zoom, children }) {
  const box = useRef(null);
  const drag = useRef(null);
  useEffect(() => {
    // The middle stays the middle.
    const node = box.current;
    node.scrollTo(
      (node.scrollWidth - node.clientWidth) / 2,
      (node.scrollHeight - node.clientHeight) / 2,
    );
  }, [zoom]);
  const handlers = {
    onPointerDown: (event) => {
      const { scrollLeft, scrollTop } = box.current;
      const { width: window, level } = shown.value;
      drag.current = { x: event.clientX, y: event.clientY, scrollLeft, scrollTop, window, level };
      box.current.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event) => {
      const begun = drag.current;
      if (!begun) return;
      const [x, y] = [event.clientX - begun.x, event.clientY - begun.y];
      if (zoom > 1) {
        box.current.scrollTo(begun.scrollLeft - x, begun.scrollTop - y);
        return;
      }
      setWidth(begun.window + x);
      setLevel(begun.level + y);
    },
    onPointerUp: () => (drag.current = null),
    onPointerCancel: () => (drag.current = null),
  };
  return html`<div class="frame">
    <div class="viewport large" ref=${box} data-zoomed=${zoom > 1 ? "" : undefined}
      tabindex=${zoom > 1 ? 0 : undefined} role=${zoom > 1 ? "region" : undefined}
      aria-label=${zoom > 1 ? `${label}, zoomed: the arrow keys move it` : undefined} ...${handlers}>
      <img class="windowed" src=${src} width=${width} height=${width} alt=${label}
        style=${{ width: `${100 * zoom}%` }} draggable=${false} />
    </div>
    ${children}
  </div>`;
}

/** Minus, the zoom, plus. */
export function ZoomControls({ zoom, setZoom }) {
  const to = (value) => setZoom(Math.min(Math.max(value, 1), ZOOM_MAX));
  return html`<div class="bar" role="group" aria-label="Zoom">
    <button type="button" class="small" aria-label="Zoom out" disabled=${zoom <= 1} onClick=${() => to(zoom / 2)}>−</button>
    <span class="mono">${zoom} ×</span>
    <button type="button" class="small" aria-label="Zoom in" disabled=${zoom >= ZOOM_MAX} onClick=${() => to(zoom * 2)}>+</button>
    <button type="button" class="small" disabled=${zoom === 1} onClick=${() => to(1)}>Fit</button>
  </div>`;
}

/**
 * @param {{image: any, reference: string, truncation: number, zoom: number, setZoom: Function,
 *   close: () => void}} props
 */
export default function Inspector({ image, reference, truncation, zoom, setZoom, close }) {
  const [other, setOther] = useState(null);
  const head = useRef(null);
  const label = alt(image);
  useEffect(() => setOther(null), [image]);
  useShortcuts([["o", "Words on the picture", () => (overlays.value = !overlays.value)]]);
  return html`<aside class="panel inspector" aria-label="Inspector">
    <div class="bar">
      <h2 ref=${head} tabindex="-1">Seed <span class="mono">${image.seed}</span></h2>
      <div class="bar-end">
        <button type="button" class="icon-button" aria-label="Close the inspector" title="Close (Esc)"
          onClick=${close}><${Icon} name="close" /></button>
      </div>
    </div>
    <${Viewport} src=${other ?? pixels(image)} width=${image.width} label=${label} zoom=${zoom}>
      <span class="corner top-left">SYNTHETIC</span>
      ${
        overlays.value &&
        html`<span class="corner top-right">${image.label ?? ""}</span>
          <span class="corner bottom-left mono">${reference}</span>
          <span class="corner bottom-right mono">${image.width} × ${image.height}</span>`
      }
    <//>
    <div class="bar">
      <${ZoomControls} zoom=${zoom} setZoom=${setZoom} />
      <div class="bar-end">
        <${CopyButton} label="Link" name="Copy the image's own address" icon=${false}
          text=${() => location.origin + sampleUrl(reference, image.label, image.seed, truncation)} />
        <a class="button small" download=${fileName(reference, image)}
          href=${sampleUrl(reference, image.label, image.seed, truncation)}>PNG</a>
      </div>
    </div>
    <${WindowControls}>
      <${Toggle} on=${overlays.value} onChange=${(on) => (overlays.value = on)} title="Words on the picture (o)">Words<//>
    <//>
    <${Nearest} image=${image} reference=${reference} truncation=${truncation} />
    <${Scrubber} image=${image} reference=${reference} truncation=${truncation} show=${setOther} />
  </aside>`;
}
