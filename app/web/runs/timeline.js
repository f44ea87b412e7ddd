// Samples by epoch: the fixed noise drawn after every epoch, newest shown until someone looks back.
import { mosaicUrl } from "../api.js";
import { Icon } from "../parts.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";

const PLAY_MS = 250;

/** A mosaic; the one on screen stays until the next is decoded, so that sliding does not flicker. */
function Mosaic({ id, epoch }) {
  const [shown, setShown] = useState(null);
  const [missing, setMissing] = useState(false);
  const wanted = useRef(epoch);
  useEffect(() => {
    wanted.current = epoch;
    const next = new Image();
    next.src = mosaicUrl(id, epoch);
    next.decode().then(
      () => {
        if (wanted.current !== epoch) return;
        setMissing(false);
        setShown({ epoch, src: next.src, width: next.naturalWidth, height: next.naturalHeight });
      },
      () => wanted.current === epoch && setMissing(true),
    );
  }, [id, epoch]);
  return html`<figure><figcaption class="hint">epoch ${shown?.epoch ?? epoch}</figcaption>
    <div class="mosaic-box">${
      shown &&
      html`<img class="mosaic" src=${shown.src} width=${shown.width} height=${shown.height}
      alt=${`Synthetic images from the fixed noise, epoch ${shown.epoch}`} />`
    }</div>
    ${missing && html`<p class="error" role="status">The samples of epoch ${epoch} could not be loaded.</p>`}</figure>`;
}

/** @param {{id: string, last: number, shown: number, go: (epoch: number) => void}} props last: the newest epoch drawn */
export function Timeline({ id, last, shown, go }) {
  const [pinned, setPinned] = useState(null);
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(() => go(shown >= last ? 1 : shown + 1), PLAY_MS);
    return () => clearInterval(timer);
  }, [playing, shown, last]);
  const number = (event) =>
    event.currentTarget.value !== "" && go(Number(event.currentTarget.value));
  const button = (
    words,
    icon,
    deed,
    off = false,
  ) => html`<button type="button" class="icon-button framed" aria-label=${words} title=${words}
    aria-disabled=${off ? "true" : undefined} onClick=${deed}><${Icon} name=${icon} /></button>`;
  return html`<section class="panel" aria-labelledby="samples">
    <div class="bar"><h2 id="samples">Samples by epoch</h2><span class="hint">the same noise each time</span>
      ${
        last > 0 &&
        html`<div class="bar-end">
        ${
          pinned === null
            ? html`<button type="button" class="small" onClick=${() => setPinned(shown)}>Pin epoch ${shown}</button>`
            : html`<button type="button" class="small" onClick=${() => setPinned(null)}>Unpin epoch ${pinned}</button>`
        }</div>`
      }</div>
    ${!last && html`<p class="hint waiting">The first samples come with the end of epoch 1.</p>`}
    ${
      last > 0 &&
      html`<div class="timeline">
        ${button("Previous epoch", "left", () => go(shown - 1), shown <= 1)}
        <input type="range" min="1" max=${last} step="1" value=${shown} aria-label="Epoch" aria-valuetext=${`epoch ${shown} of ${last}`} onInput=${number} />
        ${button("Next epoch", "right", () => go(shown + 1), shown >= last)}
        <input type="number" min="1" max=${last} step="1" value=${shown} aria-label="Epoch number" onChange=${number} />
        ${button(playing ? "Pause" : "Play through the epochs", playing ? "pause" : "play", () => setPlaying(!playing))}
        <button type="button" aria-disabled=${shown === last ? "true" : undefined} onClick=${() => go(last)}>Newest</button>
      </div>
      <div class=${pinned === null ? "" : "pair-of"}>
        ${pinned !== null && html`<${Mosaic} id=${id} epoch=${pinned} />`}<${Mosaic} id=${id} epoch=${shown} /></div>`
    }
  </section>`;
}
