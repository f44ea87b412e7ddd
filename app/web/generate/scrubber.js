// The way from one seed to another: a strip of images by the great circle, one shown at a time.
import { Icon, Slider } from "../parts.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";
import { SEED_MAX } from "./request.js";
import { interpolateUrl } from "./service.js";

const STEPS = 16;
const FRAME_MS = 120;
const GAP_PX = 2; // between the images of a strip

/** The strip's images, each cut out as an address of its own. */
async function frames(url, side, signal) {
  const answer = await fetch(url, { signal });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  const strip = await createImageBitmap(await answer.blob());
  const count = Math.round((strip.width + GAP_PX) / (side + GAP_PX));
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const drawing = canvas.getContext("2d");
  return Array.from({ length: count }, (_, i) => {
    drawing.drawImage(strip, i * (side + GAP_PX), 0, side, side, 0, 0, side, side);
    return canvas.toDataURL("image/png");
  });
}

/** @param {{image: any, reference: string, truncation: number, show: (src: string | null) => void}} props */
export function Scrubber({ image, reference, truncation, show }) {
  const [to, setTo] = useState(image.seed + 1);
  const [found, setFound] = useState(null);
  const [place, setPlace] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [error, setError] = useState("");
  const leaving = useRef(null);

  useEffect(() => {
    setTo(Math.min(image.seed + 1, SEED_MAX));
    setFound(null);
    setPlaying(false);
    setError("");
    return () => leaving.current?.abort();
  }, [image, reference, truncation]);

  useEffect(() => {
    if (!playing || !found) return undefined;
    const timer = setInterval(() => go((p) => (p + 1) % found.length), FRAME_MS);
    return () => clearInterval(timer);
  }, [playing, found]);

  function go(next) {
    setPlace((before) => {
      const now = typeof next === "function" ? next(before) : next;
      show(found?.[now] ?? null);
      return now;
    });
  }

  async function load() {
    if (!Number.isSafeInteger(to) || to < 0) {
      setError(`Use a whole number from 0 to ${SEED_MAX}.`);
      return;
    }
    leaving.current?.abort();
    leaving.current = new AbortController();
    setError("");
    try {
      const url = interpolateUrl(reference, image, to, STEPS, truncation);
      const made = await frames(url, image.width, leaving.current.signal);
      setFound(made);
      setPlace(0);
      show(made[0]);
    } catch (problem) {
      if (problem.name !== "AbortError") setError(problem.message);
    }
  }

  return html`<details class="scrubber">
    <summary>On the way to another seed</summary>
    <div class="beside">
      <label for="scrub-to">To seed</label>
      <input id="scrub-to" type="number" min="0" max=${SEED_MAX} step="1" value=${to}
        aria-describedby=${error ? "scrub-error" : undefined}
        onInput=${(event) => setTo(event.currentTarget.value === "" ? NaN : Number(event.currentTarget.value))} />
      <button type="button" onClick=${load}>Draw</button>
    </div>
    ${error && html`<p class="error" id="scrub-error" role="alert">${error}</p>`}
    ${
      found &&
      html`<div class="beside">
      <button type="button" class="icon-button framed" aria-label=${playing ? "Pause" : "Play"}
        onClick=${() => setPlaying(!playing)}><${Icon} name=${playing ? "pause" : "play"} /></button>
      <${Slider} label="Place on the way" min="0" max=${found.length - 1} step="1" value=${place}
        onChange=${(value) => (setPlaying(false), go(Math.min(Math.max(Math.round(value), 0), found.length - 1)))}
        control=${{ "aria-label": "Place on the way, number" }} />
    </div>`
    }
  </details>`;
}
