// The generated images: black viewports, every pixel a whole number of screen pixels.
import { sampleUrl } from "../api.js";
import { CopyButton, Icon } from "../parts.js";
import {
  Component,
  html,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
} from "../vendor/ui/ui.js";

export const SIZES = { S: 128, M: 192, L: 256 };
const GAP = 12;

/**
 * The tiles' width: the largest whole multiple of the image, in screen pixels, within a size, never
 * under twice a 64 px image, since an uneven multiple would draw uneven pixels; and the grid's width.
 */
function fitted(room, size, resolution) {
  const ratio = devicePixelRatio || 1;
  // Two columns fill a phone.
  const wanted = room < 420 && size === "S" ? Math.max((room - GAP) / 2, SIZES.S) : SIZES[size];
  const most = Math.min(wanted, Math.max(room, SIZES.S)) * ratio;
  const width = (Math.max(1, Math.floor(most / resolution)) * resolution) / ratio;
  const columns = Math.max(1, Math.floor((room + GAP) / (width + GAP)));
  return { width, columns, end: columns * (width + GAP) - GAP };
}

/** Sets --tile and --grid on an element as its room changes; tells how many columns there are. */
export function useFitted(element, size, resolution) {
  const columns = useRef(1);
  useLayoutEffect(() => {
    const fit = () => {
      const node = element.current;
      if (!node?.clientWidth) return;
      const found = fitted(node.clientWidth, size, resolution);
      columns.current = found.columns;
      node.style.setProperty("--tile", `${found.width}px`);
      node.style.setProperty("--grid", found.end > 420 ? `${found.end}px` : "100%");
    };
    const watcher = new ResizeObserver(fit);
    watcher.observe(element.current);
    fit();
    return () => watcher.disconnect();
  }, [size, resolution]);
  return columns;
}

export const alt = (image) => `Synthetic ${image.label ?? "chest X-ray"}, seed ${image.seed}`;
export const pixels = (image) => `data:image/png;base64,${image.png}`;

/** What a file of it is called. */
export function fileName(reference, image) {
  const stem = [reference.replace("@", "-"), image.label, image.seed].filter((x) => x !== null);
  return `${stem.join("-").replace(/[^\w.-]+/g, "_")}.png`;
}

/** One tile, drawn anew only when something of it has changed: a grid holds a thousand. */
class Tile extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((key) => next[key] !== this.props[key]);
  }

  render({ image, index, first, reference, truncation, chosen, focusable, open, choose }) {
    const said = alt(image);
    return html`<li class="tile" data-first=${first ? "" : undefined} data-chosen=${chosen ? "" : undefined}>
      <button type="button" class="viewport" data-index=${index} tabindex=${focusable ? 0 : -1}
        aria-label=${`Inspect ${said}`}
        onClick=${(event) => (event.shiftKey ? choose(index) : open(index))}>
        <img class="windowed" src=${pixels(image)} width=${image.width} height=${image.height}
          alt=${said} decoding="async" draggable=${false} />
      </button>
      <div class="caption">
        <${CopyButton} text=${() => String(image.seed)} label=${String(image.seed)}
          name=${`Copy seed ${image.seed}`} class="seed mono" icon=${false} />
        <a class="tile-link" href=${sampleUrl(reference, image.label, image.seed, truncation)}
          download=${fileName(reference, image)} aria-label=${`Download seed ${image.seed}`}
          title="Download PNG"><${Icon} name="down" /></a>
        <input type="checkbox" class="tile-check" checked=${chosen}
          aria-label=${`Select seed ${image.seed}`} onChange=${() => choose(index)} />
        ${image.label && html`<span class="tile-label" title=${image.label}>${image.label}</span>`}
      </div>
    </li>`;
  }
}

/** Where the tile above or below lies, each class beginning a row of its own. */
function vertical(place, by, columns, perClass) {
  const from = Math.floor(place / perClass) * perClass;
  const inside = place - from + by * columns;
  if (inside >= 0 && inside < perClass) return from + inside;
  const column = (place - from) % columns;
  if (by > 0) return from + perClass + column;
  const last = Math.floor((perClass - 1 - column) / columns) * columns + column;
  return from - perClass + last;
}

/**
 * The grid.  Arrows move along it, Enter opens.  perClass: the images of a class, where each class
 * begins a row of its own.
 * @param {{images: any[], perClass: number | null, reference: string, truncation: number, chosen: Set<number>, focused: number,
 *   focus: (index: number) => void, open: (index: number) => void, choose: (index: number) => void,
 *   columns: {current: number}, busy: boolean}} props
 */
export function Grid({
  images,
  perClass,
  reference,
  truncation,
  chosen,
  focused,
  focus,
  open,
  choose,
  columns,
  busy,
}) {
  const list = useRef(null);
  const opened = useCallback(open, [images]);
  const selected = useCallback(choose, [images]);
  const move = (event) => {
    const place = Number(event.target.dataset?.index);
    if (!Number.isInteger(place) || event.ctrlKey || event.metaKey || event.altKey) return;
    const aside = (by) => vertical(place, by, columns.current, perClass ?? images.length);
    const places = {
      ArrowLeft: place - 1,
      ArrowRight: place + 1,
      ArrowUp: aside(-1),
      ArrowDown: aside(1),
      Home: 0,
      End: images.length - 1,
    };
    const to = places[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0 || to >= images.length) return;
    focus(to);
    list.current.querySelector(`[data-index="${to}"]`)?.focus();
  };
  useEffect(() => {
    if (focused >= images.length) focus(0);
  }, [images]);
  return html`<ul class="grid" ref=${list} aria-label="Generated images" aria-busy=${busy ? "true" : undefined}
    onKeyDown=${move}>
    ${images.map(
      (
        image,
        index,
      ) => html`<${Tile} key=${`${reference} ${image.label} ${image.seed}`} image=${image} index=${index} first=${perClass !== null && index % perClass === 0}
        reference=${reference} truncation=${truncation} chosen=${chosen.has(index)}
        focusable=${index === focused} open=${opened} choose=${selected} />`,
    )}
  </ul>`;
}

/** As many empty viewports as are on their way. */
export function Placeholders({ count }) {
  return html`<ul class="grid" aria-hidden="true">
    ${Array.from({ length: count }, (_, i) => html`<li class="tile" key=${i}><div class="viewport"></div><div class="caption"></div></li>`)}
  </ul>`;
}
