// The reader's page: consent, one image after the other, the result.  Nothing on it tells whether an
// answer was right before the last is given.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "../vendor/ui/ui.js";
import * as link from "./link.js";

const LARGEST = 512; // CSS pixels of an image's side, on every screen that has them
const EARLIEST_MS = 250; // a key that comes sooner after an image was meant for the one before
const LATEST_MS = 86_400_000; // a day: the longest that the server takes
const BESIDE = 300; // CSS pixels that the page needs above and below the image

const announce = (words) => (document.getElementById("announce").textContent = words);
const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)} %`);
const between = ({ value, interval }) =>
  `${percent(value)}${interval ? ` (${percent(interval[0])} to ${percent(interval[1])})` : ""}`;

function Page() {
  const [state, setState] = useState(null);
  const [problem, setProblem] = useState(null);
  const main = useRef(null);
  const failed = (error) => {
    if (!(error instanceof link.Refused)) throw error;
    setProblem(error);
  };
  const ask = () => {
    setProblem(null);
    link.state().then(setState, failed);
  };
  useEffect(ask, []);
  useEffect(() => {
    const other = () => location.reload();
    addEventListener("hashchange", other);
    return () => removeEventListener("hashchange", other);
  }, []);
  const step = !state
    ? "begin"
    : state.finished_at
      ? "result"
      : state.closed
        ? "closed"
        : state.consented_at
          ? "images"
          : "consent";
  useEffect(() => {
    if (step !== "begin") main.current?.querySelector("h1")?.focus({ preventScroll: true });
  }, [step]);
  const pages = { result: Result, closed: Closed, images: Images, consent: Consent };
  const Step = pages[step];
  return html`<div ref=${main} style="display: contents">
    ${
      problem &&
      html`<div class="wrong text" role="alert">
        ${step === "begin" && html`<h1>Reader study</h1>`}
        <p>${problem.message}</p>
        <p><button type="button" onClick=${ask}>Try again</button></p>
      </div>`
    }
    ${Step && html`<${Step} state=${state} set=${setState} failed=${failed} ask=${ask} />`}
  </div>`;
}

function Consent({ state, set, failed }) {
  const [agreed, setAgreed] = useState(false);
  const [signed, setSigned] = useState("");
  const [missing, setMissing] = useState("");
  async function begin(event) {
    event.preventDefault();
    const lack = !agreed ? "Tick the box if you agree." : !signed.trim() ? "Sign first." : "";
    setMissing(lack);
    if (!lack) link.consent(signed.trim()).then(set, failed);
  }
  return html`<form class="text" onSubmit=${begin} novalidate>
    <h1 tabindex="-1">${state.title}</h1>
    ${state.consent.split(/\n\s*\n/).map((part) => html`<p>${part}</p>`)}
    <p class="quiet">${state.total} images. You can stop and go on later with the same link. There is no time limit.</p>
    <label class="check"><input type="checkbox" checked=${agreed}
      onChange=${(event) => setAgreed(event.currentTarget.checked)} /><span>I have read this, and I agree.</span></label>
    <div><label for="signed">Your name</label>
      <input id="signed" type="text" maxlength="200" autocomplete="name" value=${signed}
        aria-describedby=${missing ? "missing" : undefined} onInput=${(event) => setSigned(event.currentTarget.value)} /></div>
    ${missing && html`<p id="missing" role="alert">${missing}</p>`}
    <button class="large">Begin</button>
  </form>`;
}

/** A whole multiple of the image's own pixels, so that all of them are of one size. */
function sideFor(resolution) {
  const room = Math.min(LARGEST, innerWidth - 32, Math.max(192, innerHeight - BESIDE));
  return room >= resolution ? Math.floor(room / resolution) * resolution : room;
}

function Images({ state, set, failed, ask }) {
  const at = state.answered;
  const over = at >= state.total;
  const [shown, setShown] = useState(-1); // the position that can be seen
  const [away, setAway] = useState(false);
  const [sure, setSure] = useState(null);
  const [keys, setKeys] = useState(true);
  const [side, setSide] = useState(sideFor(state.resolution));
  const place = useRef(null);
  const since = useRef(0);
  const sending = useRef(false);
  useEffect(() => {
    const resized = () => setSide(sideFor(state.resolution));
    addEventListener("resize", resized);
    return () => removeEventListener("resize", resized);
  }, []);
  useEffect(() => {
    let left = false;
    const told = (is) => left || setAway(is);
    setSure(null);
    if (over) announce("Every image has an answer.");
    else
      link
        .untilAnswered(() => link.image(at), told)
        .then(
          (element) => {
            if (left) return;
            place.current.replaceChildren(element);
            element.alt = `Chest X-ray ${at + 1} of ${state.total}`;
            setShown(at);
            // The next one is there before it is asked for: nothing is told by how long it takes.
            if (at + 1 < state.total) link.image(at + 1).catch(() => {});
            announce(`Image ${at + 1} of ${state.total}`);
            requestAnimationFrame(() => (since.current = performance.now()));
          },
          (error) => left || failed(error),
        );
    return () => {
      left = true;
    };
  }, [at, over]);
  useLayoutEffect(() => {
    const element = place.current?.firstElementChild;
    if (element) element.width = element.height = side;
  }, [side, shown]);

  /** One thing at a time; where another tab went on meanwhile, this one follows it. */
  async function send(deed) {
    sending.current = true;
    try {
      set(await link.untilAnswered(deed, setAway));
    } catch (error) {
      failed(error);
      if (error.status === 409) ask();
    } finally {
      sending.current = false;
    }
  }
  function choose(kind) {
    const milliseconds = Math.min(LATEST_MS, Math.round(performance.now() - since.current));
    if (sending.current || over || shown !== at || milliseconds < EARLIEST_MS) return;
    const body = { position: at, answer: kind, confidence: sure, milliseconds };
    send(() => link.answer(body));
  }
  function back() {
    if (sending.current || at === 0) return;
    send(() => link.undo(at - 1));
    announce(`The answer to image ${at} is taken back.`);
  }
  const latest = useRef(null);
  latest.current = { r: () => choose("real"), f: () => choose("synthetic"), u: back };
  for (let n = 1; n <= 5; n += 1) latest.current[n] = () => setSure(n);
  useEffect(() => {
    if (!keys) return undefined;
    const pressed = (event) => {
      if (event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
      const deed = latest.current[event.key.toLowerCase()];
      if (!deed) return;
      event.preventDefault();
      deed();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [keys]);

  const busy = shown !== at || away;
  return html`<div class="head">
      <div class="row" style="justify-content: space-between">
        <h1 tabindex="-1">${over ? "Every image has an answer" : `Image ${at + 1} of ${state.total}`}</h1>
        <span class="quiet">${at} answered</span>
      </div>
      <div class="line" role="progressbar" aria-label="Images answered" aria-valuemin="0"
        aria-valuemax=${state.total} aria-valuenow=${at}><span style=${{ width: `${(100 * at) / state.total}%` }}></span></div>
    </div>
    <div class="viewport" ref=${place} hidden=${over} style=${{ width: `${side}px`, height: over ? 0 : `${side}px` }}></div>
    ${away && html`<p class="wrong" role="alert">The server does not answer. Your answer is sent again until it does; nothing is lost.</p>`}
    ${
      over
        ? html`<div class="text"><p>You can still take back the last answer. After you finish, all answers stand and you see how you did.</p>
          <button type="button" class="large" onClick=${() => send(link.finish)}>Finish</button></div>`
        : html`<div class="choices" role="group" aria-label="This image is">
            <button type="button" aria-disabled=${String(busy)} onClick=${() => choose("real")}>Real <kbd>r</kbd></button>
            <button type="button" aria-disabled=${String(busy)} onClick=${() => choose("synthetic")}>Synthetic <kbd>f</kbd></button>
          </div>
          <fieldset class="sure"><legend class="quiet">How sure (optional)</legend>
            ${[1, 2, 3, 4, 5].map(
              (n) => html`<button type="button" key=${n} aria-pressed=${String(sure === n)}
                aria-label=${`${n} of 5${n === 1 ? ", a guess" : n === 5 ? ", certain" : ""}`}
                onClick=${() => setSure(sure === n ? null : n)}>${n}</button>`,
            )}
          </fieldset>`
    }
    <div class="row">
      <button type="button" aria-disabled=${String(at === 0)} onClick=${back}>Take the last answer back <kbd>u</kbd></button>
      <button type="button" class="keys" aria-pressed=${String(keys)} onClick=${() => setKeys(!keys)}>Keys ${keys ? "on" : "off"}</button>
    </div>`;
}

function Closed() {
  return html`<div class="text"><h1 tabindex="-1">This study is closed</h1>
    <p>Thank you. No more answers are needed.</p></div>`;
}

function Result() {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    link.result().then(setFound, setProblem);
  }, []);
  const labels = found && found.labels.length > 1 ? found.labels : [];
  return html`<div class="text"><h1 tabindex="-1">Thank you</h1>
    ${problem && html`<p class="wrong" role="alert">${problem.message}</p>`}
    ${
      found &&
      html`<p>Your answers are saved. In brackets: what chance leaves open (95 % interval). Guessing gives 50 %.</p>
      <dl class="result">
        <dt>Right</dt><dd>${between(found.accuracy)}</dd>
        <dt>Synthetic images found out</dt><dd>${between(found.sensitivity)}</dd>
        <dt>Real images taken for real</dt><dd>${between(found.specificity)}</dd>
        ${labels.map((each) => html`<dt>Right among ${each.label}</dt><dd>${between(each.accuracy)}</dd>`)}
        ${found.repeats && html`<dt>Same answer when shown again</dt><dd>${found.repeats.same} of ${found.repeats.images}</dd>`}
      </dl>
      <p class="quiet">Which image was which is not told while others may still read. You can close this page.</p>`
    }
  </div>`;
}

render(html`<${Page} />`, document.getElementById("main"));
