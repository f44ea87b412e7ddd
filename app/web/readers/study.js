// One reader study: invite readers, see how far they are, close it, read the results.
import { Confirm, useDeed } from "../deeds.js";
import { ago, whole } from "../format.js";
import { navigate } from "../navigate.js";
import { Banner, CopyButton, Field, announce, coming, useAsked } from "../parts.js";
import { usePolled } from "../polled.js";
import { html, useState } from "../vendor/ui/ui.js";
import { Status } from "./list.js";
import { Results } from "./results.js";
import {
  closeStudy,
  csvUrl,
  deleteStudy,
  imagesUrl,
  invite,
  removeReader,
  results,
  study,
} from "./service.js";

const POLL_MS = 5000;
const BACK = html`<a href="/ui/reader-studies" class="back">Reader studies</a>`;

export default function ReaderStudyPage({ id }) {
  const {
    content: found,
    problem,
    again,
  } = usePolled(
    (signal) => study(id, signal),
    [id],
    POLL_MS,
    ({ closed_at }) => !closed_at,
  );
  const done = found?.readers.filter((each) => each.answered === each.total).length ?? 0;
  const told = useAsked(
    async (signal) => (done ? results(id, signal) : null),
    [id, done, found?.readers.length, found?.closed_at],
  );
  const [asking, setAsking] = useState(null);
  if (!found) return coming(id, BACK, problem);
  const close = () => setAsking(null);
  const { design } = found;
  const facts = [
    found.model,
    `${whole(found.items)} images, half of them real`,
    design.labels.join(", "),
    found.patients && `${whole(found.patients)} patients`,
    design.repeats > 0 && `${design.repeats} shown twice`,
    `guessing: 50 ± ${Math.round(100 * design.margin)} %`,
  ];
  return html`<div class="run-page">
    <p>${BACK}</p>
    <header class="run-head">
      <div class="run-title"><h1 tabindex="-1">${design.name}</h1><${Status} study=${found} />
        <span class="run-told">${facts.filter(Boolean).join(" · ")}</span></div>
      <div class="bar-end">
        ${done > 0 && html`<a class="button" href=${csvUrl(id)} download>CSV</a>`}
        ${
          found.closed_at
            ? html`<a class="button" href=${imagesUrl(id)} download>Images and key</a>`
            : html`<button type="button" onClick=${() => setAsking("close")}>Close</button>`
        }
        <button type="button" class="danger" onClick=${() => setAsking("delete")}>Delete</button>
      </div>
      <p class="hint"><span class="mono">${id}</span> · real images from ${found.dataset.name} · made ${ago(found.created_at)}
        ${found.withdrawn > 0 ? ` · ${found.withdrawn} images withdrawn by patients` : ""}</p>
    </header>
    ${problem && html`<${Banner} problem=${problem} />`}
    <${Readers} study=${found} changed=${again} />
    ${told.problem && html`<${Banner} problem=${told.problem} again=${told.again} />`}
    ${
      told.content
        ? html`<${Results} found=${told.content} />`
        : html`<p class="hint">Results show as soon as a reader is through; the verdict, when the study is closed.</p>`
    }
    ${
      asking === "close" &&
      html`<${Confirm} title="Close this study?" keep="Keep it open" words="Close the study" close=${close} deed=${async () => {
        await closeStudy(id);
        again();
      }}><p>No more answers are taken, and it cannot be opened again. Readers who are not through do not count.</p><//>`
    }
    ${
      asking === "delete" &&
      html`<${Confirm} title="Delete this study?" words="Delete" close=${close} deed=${async () => {
        await deleteStudy(id);
        navigate("/ui/reader-studies");
      }}><p>Its images, its key, all answers and consents go for good.</p><//>`
    }
  </div>`;
}

function Readers({ study: found, changed }) {
  const [name, setName] = useState("");
  const [error, setError] = useState("");
  const { act, busy, problem } = useDeed();
  const [made, setMade] = useState(null);
  const [leaving, setLeaving] = useState(null);
  async function remove() {
    await removeReader(found.id, leaving.id);
    if (made?.reader.id === leaving.id) setMade(null);
    announce("The reader is removed");
    changed();
  }
  function submit(event) {
    event.preventDefault();
    setError(name.trim() ? "" : "Name the reader; a pseudonym will do.");
    if (!name.trim()) return;
    act(async () => {
      setMade(await invite(found.id, name.trim()));
      setName("");
      announce("The link is made");
      changed();
    });
  }
  return html`<section class="panel stack" aria-labelledby="readers">
    <h2 id="readers">Readers</h2>
    ${
      found.readers.length > 0 &&
      html`<div class="table-box" tabindex="0" role="region" aria-label="Progress of the readers"><table>
        <thead><tr><th scope="col">Reader</th><th scope="col">Consent</th><th scope="col">Answers</th><th scope="col">State</th>
          ${!found.closed_at && html`<th scope="col"><span class="unseen">Remove</span></th>`}</tr></thead>
        <tbody>${found.readers.map(
          (each) => html`<tr key=${each.id}><th scope="row">${each.name}</th>
          <td>${each.consented_at ? ago(each.consented_at) : "not yet"}</td>
          <td>${each.answered} of ${each.total}</td>
          <td>${each.finished_at ? "through" : each.answered === each.total ? "all answered" : each.answered ? "reading" : "invited"}</td>
          ${!found.closed_at && html`<td><button type="button" class="small" aria-label=${`Remove ${each.name}`} onClick=${() => setLeaving(each)}>Remove</button></td>`}</tr>`,
        )}</tbody></table></div>`
    }
    ${
      !found.closed_at &&
      html`<form class="row-form" onSubmit=${submit} novalidate>
      <${Field} label="Invite a reader" error=${error} hint="For you alone; a pseudonym will do.">${(
        ties,
      ) => html`<div class="beside"><input ...${ties} type="text" maxlength="200" autocomplete="off"
        value=${name} onInput=${(event) => setName(event.currentTarget.value)} /><button aria-disabled=${busy ? "true" : undefined}>Make a link</button></div>`}<//>
    </form>`
    }
    ${problem && html`<${Banner} problem=${problem} />`}
    ${
      leaving &&
      html`<${Confirm} title=${`Remove ${leaving.name}?`} keep="Keep the reader" words="Remove"
        close=${() => setLeaving(null)} deed=${remove}><p>The link ends, and the answers count for nothing; the results say that a reader was removed. It cannot be undone.</p><//>`
    }
    ${
      made &&
      html`<div class="notice stack" role="status">
      <p><strong>The link of ${made.reader.name}</strong>, shown this once. Whoever has it answers as this reader.</p>
      <p class="mono link-text">${location.origin}${made.link}</p>
      <div><${CopyButton} text=${() => location.origin + made.link} label="Copy the link" /></div>
    </div>`
    }
  </section>`;
}
