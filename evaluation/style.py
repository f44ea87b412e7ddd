"""The page's style: it reads on a phone, in the dark and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2328; --paper: #fdfdfc; --line: #d5dadd;
  --quiet: #5c676e; --soft: #f1f3f4; --red: #b3261e; --amber: #8a5a00; --green: #1b6e3c;
  --grey: #5c676e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaec; --paper: #14191c; --line: #38434a;
  --quiet: #9fabb2; --soft: #1d2428; --red: #ff8a80; --amber: #f0b94a; --green: #7fd6a0;
  --grey: #9fabb2 } }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem }
.quiet { color: var(--quiet); margin: .3rem 0 }
.lights { display: grid; gap: 1rem; margin: 1.5rem 0 }
.light { border: 1px solid var(--line); border-left: 6px solid var(--grey); border-radius: 6px;
  padding: .8rem 1.1rem }
.light h2 { margin: 0 }
.light.red { border-left-color: var(--red) } .light.amber { border-left-color: var(--amber) }
.light.green { border-left-color: var(--green) }
.red > h2, .red > .mark, .red b { color: var(--red) }
.amber > h2, .amber > .mark, .amber b { color: var(--amber) }
.green > h2, .green > .mark, .green b { color: var(--green) }
.grey > h2, .grey > .mark, .grey b { color: var(--grey) }
.checks { list-style: none; padding: 0; margin: .5rem 0 0 }
.checks li { display: flex; gap: .6rem; padding: .25rem 0; font-size: .92rem }
.checks b { font-weight: 600; color: var(--grey) }
.checks li.red b { color: var(--red) } .checks li.amber b { color: var(--amber) }
.checks li.green b { color: var(--green) }
.danger { border-left: 6px solid var(--red); background: var(--soft); color: var(--red);
  padding: .6rem 1rem; font-weight: 600 }
.warn { border-left: 4px solid var(--amber); background: var(--soft); padding: .4rem .8rem }
.wide { overflow-x: auto; margin: .8rem 0 }
table { border-collapse: collapse; font-size: .9rem } caption { text-align: left;
  color: var(--quiet); padding-bottom: .3rem }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; vertical-align: top }
th { font-weight: 600 } tr > :first-child { text-align: left }
.facts th { font-weight: 400; color: var(--quiet) } .facts td { text-align: left;
  white-space: normal; overflow-wrap: anywhere }
figure { margin: 1.2rem 0 } figcaption { color: var(--quiet); font-size: .88rem }
img.plot { max-width: 100%; background: #fff; border-radius: 6px; padding: .6rem }
img.grid { width: 100%; image-rendering: auto; border-radius: 4px }
details { margin: .5rem 0 } summary { cursor: pointer; color: var(--quiet) }
@media print { main { max-width: none; padding: 0 } .light, figure, table { break-inside: avoid } }
"""
