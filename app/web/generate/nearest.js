// How near a sample lies to the training images, in words: a percentile, no raw distance.
import { Problem } from "../api.js";
import { html, useEffect, useState } from "../vendor/ui/ui.js";
import { nearest, nearestUrl } from "./service.js";

/** @param {{image: any, reference: string, truncation: number}} props */
export function Nearest({ image, reference, truncation }) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const [looking, setLooking] = useState(false);
  useEffect(() => {
    setFound(null);
    setProblem(null);
    setLooking(false);
    const leaving = new AbortController();
    nearest(reference, image, truncation, leaving.signal).then(setFound, (error) => {
      if (error instanceof Problem) setProblem(error);
    });
    return () => leaving.abort();
  }, [image, reference, truncation]);
  return html`<section class="nearest" aria-labelledby="nearest">
    <h3 id="nearest">Nearest training image</h3>
    ${
      problem &&
      html`<p class="hint">${
        problem.status === 409
          ? html`Not known: <a href=${`/ui/models/${reference}`}>${reference}</a> has no report made on this server.`
          : problem.message
      }</p>`
    }
    ${
      found &&
      html`<p>${sentence(found)}</p>
      <p class="hint">Of ${found.training_images.toLocaleString("en")} training images, by their 32 × 32 thumbnails
        (correlation ${found.correlation.toFixed(3)}). This does not prove that it shows no one.</p>
      ${
        found.preview
          ? looking
            ? html`<div class="pair-of">
              <figure><div class="viewport"><img src=${nearestUrl(reference, image, truncation)} width="32" height="32"
                alt="The training image nearest to this sample, 32 × 32" /></div><figcaption class="real">real, 32 × 32</figcaption></figure></div>`
            : html`<button type="button" class="small" onClick=${() => setLooking(true)}>Show it (the look is logged)</button>`
          : html`<p class="hint">Training images are not shown here; the operator decides.</p>`
      }`
    }
  </section>`;
}

function sentence({ percentile, near_copy: copy }) {
  if (copy) return "Nearer than 99% of unseen real images are: it may be a copy.";
  if (percentile === null) return "Not nearer than the nearest 1% of unseen real images.";
  return `Nearer than ${Math.round(percentile)}% of unseen real images are: ${percentile > 90 ? "rather near" : "nothing unusual"}.`;
}
