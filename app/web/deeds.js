// What buttons do: one thing at a time, and what cannot be undone only when asked for twice.
import { Problem } from "./api.js";
import { Banner, Dialog } from "./parts.js";
import { html, useRef, useState } from "./vendor/ui/ui.js";

/** Does one thing at a time, and says that it does and how it failed. */
export function useDeed() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const doing = useRef(false);
  async function act(deed) {
    // A second click comes sooner than a button that is drawn anew.
    if (doing.current) return;
    doing.current = true;
    setBusy(true);
    setProblem(null);
    try {
      await deed();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      doing.current = false;
      setBusy(false);
    }
  }
  return { act, busy, problem };
}

/**
 * Asks before a deed; the first focus is on what leaves things as they are.
 * @param {{title: string, keep?: string, words: string, deed: () => Promise<void>,
 *   close: () => void, children: any}} props `words`: on the button that does it
 */
export function Confirm({ title, keep = "Keep it", words, deed, close, children }) {
  const { act, busy, problem } = useDeed();
  const sure = () =>
    act(async () => {
      await deed();
      close();
    });
  return html`<${Dialog} title=${title} onClose=${close} held=${busy}>
    ${children}
    ${problem && html`<${Banner} problem=${problem} />`}
    <form method="dialog" class="dialog-end"><button autofocus disabled=${busy}>${keep}</button>
      <button type="button" class="danger" aria-disabled=${busy ? "true" : undefined} onClick=${sure}>${words}</button></form>
  <//>`;
}
