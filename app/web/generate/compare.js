// Two images against each other: side by side, with a swipe, or blinking.
import { Dialog, Segments, Slider } from "../parts.js";
import { html, useEffect, useState } from "../vendor/ui/ui.js";
import { alt, pixels } from "./grid.js";

const BLINK_MS = 500;
const WAYS = [
  ["side", "Side by side"],
  ["swipe", "Swipe"],
  ["blink", "Blink"],
];

/** @param {{first: any, second: any, close: () => void}} props images, with `of`: what they are of */
export default function Compare({ first, second, close }) {
  const [way, setWay] = useState("side");
  const [share, setShare] = useState(50);
  const [late, setLate] = useState(false);
  const [blinking, setBlinking] = useState(true);
  useEffect(() => {
    if (way !== "blink" || !blinking) return undefined;
    const timer = setInterval(() => setLate((before) => !before), BLINK_MS);
    return () => clearInterval(timer);
  }, [way, blinking]);
  const picture = (image, style) =>
    html`<img class="windowed" src=${pixels(image)} width=${image.width} height=${image.height}
      alt=${`${alt(image)}, ${image.of}`} style=${style} />`;
  const caption = (
    image,
  ) => html`<figcaption><span class="mono">${image.seed}</span> ${image.label ?? ""}${" "}
    <span class="hint mono">${image.of}</span></figcaption>`;
  const figure = (image) =>
    html`<figure><div class="viewport">${picture(image)}</div>${caption(image)}</figure>`;
  return html`<${Dialog} title="Compare two images" class="compare" onClose=${close}>
    <div class="bar">
      <${Segments} label="How" value=${way} options=${WAYS} onChange=${setWay} />
      ${
        way === "blink" &&
        html`<button type="button" class="small" onClick=${() => setBlinking(!blinking)}>
        ${blinking ? "Pause" : "Blink"}</button>
        <button type="button" class="small" onClick=${() => (setBlinking(false), setLate(!late))}>Other image</button>`
      }
    </div>
    ${way === "side" && html`<div class="pair-of">${figure(first)}${figure(second)}</div>`}
    ${
      way === "swipe" &&
      html`<div class="stacked">
        <div class="viewport">${picture(first)}
          ${picture(second, { clipPath: `inset(0 0 0 ${share}%)` })}
          <span class="swipe-line" style=${{ left: `${share}%` }}></span>
        </div>
        <${Slider} label="Where the first ends" min="0" max="100" step="1" value=${share} unit="percent"
          onChange=${(v) => setShare(Math.min(Math.max(v, 0), 100))}
          control=${{ "aria-label": "Where the first ends, percent" }} />
        <div class="pair-of">${caption(first)}${caption(second)}</div>
      </div>`
    }
    ${
      way === "blink" &&
      html`<div class="stacked">
        <div class="viewport">${picture(late ? second : first)}</div>${caption(late ? second : first)}
      </div>`
    }
    <form method="dialog" class="dialog-end"><button>Close</button></form>
  <//>`;
}
