// What the first pictures do not need, so that they come sooner.
import { Banner } from "./parts.js";
import { html, useEffect, useState } from "./vendor/ui/ui.js";

export const whenIdle = globalThis.requestIdleCallback ?? ((deed) => setTimeout(deed, 500));

/** Styles of every page but Generate, whose own are in the document. */
const STYLES = ["runs", "run", "chart", "vendor/uplot/uplot", "library", "study"];
let styled = null;

export function styles() {
  // One that does not come is no reason to show nothing.
  styled ??= Promise.all(STYLES.map((name) => new Promise((done) => link(name, done))));
  return styled;
}

function link(name, done) {
  const made = Object.assign(document.createElement("link"), { rel: "stylesheet", onload: done });
  made.onerror = done;
  made.href = `/static/${name}.css`;
  document.head.append(made);
}

/**
 * A component that is loaded when it is first shown.
 * @param {() => Promise<{default: any}>} load
 */
export function later(load) {
  let Component = null;
  return function Later(props) {
    const [, loaded] = useState(false);
    const [problem, setProblem] = useState(null);
    useEffect(() => {
      if (Component || problem) return;
      load().then((module) => ((Component = module.default), loaded(true)), setProblem);
    }, [problem]);
    if (problem) {
      const told = {
        message: "A part of the page could not be loaded.",
        details: () => `${problem}`,
      };
      return html`<${Banner} problem=${told} again=${() => setProblem(null)} />`;
    }
    return Component && html`<${Component} ...${props} />`;
  };
}
