"""The style sheet of the HTML report."""

STYLE = """
:root { --ink: #1f2328; --faint: #59636e; --grid: #d8dee4; --page: #ffffff; --card: #f6f8fa; --link: #0550ae;
  --yes: #116329; --yes-back: #dafbe1; --no: #a40e26; --no-back: #ffebe9; --open: #59636e; --open-back: #eaeef2;
  --warn: #7d4e00; --warn-back: #fff8c5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --faint: #9198a1; --grid: #30363d; --page: #0d1117; --card: #151b23; --link: #79c0ff;
    --yes: #7ee787; --yes-back: #12261e; --no: #ffa198; --no-back: #2d1416; --open: #9198a1; --open-back: #212830;
    --warn: #f2cc60; --warn-back: #272115; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.55;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--grid); }
p, ul, dl { max-width: 46rem; }
.subtitle { color: var(--faint); margin: 0; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1.1rem 0 0; font-size: .9rem; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
.notice { background: var(--warn-back); color: var(--warn); border-left: 4px solid currentColor; padding: .6rem .9rem;
  border-radius: 0 6px 6px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.2rem; margin: 0 0 1rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
li { margin: .25rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.8rem 2rem; }
figure { margin: 0; }
figure.wide { grid-column: 1 / -1; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--faint); font-size: .87rem; max-width: 46rem; margin-top: .4rem; }
figcaption b { color: var(--ink); }
.scroll { overflow-x: auto; margin: 1.4rem 0; border: 1px solid var(--grid); border-radius: 8px; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; width: 100%; }
caption { text-align: left; padding: .55rem .7rem; font-weight: 600; position: sticky; left: 0; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--grid); }
thead th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; }
th:first-child { position: sticky; left: 0; background: var(--page); }
td.text, th.text { text-align: left; }
tbody tr:hover > * { background: var(--card); }
.yes, .no, .inconclusive { padding: .05rem .45rem; border-radius: 999px; font-size: .95em; }
.yes { color: var(--yes); background: var(--yes-back); }
.no { color: var(--no); background: var(--no-back); }
.inconclusive { color: var(--open); background: var(--open-back); }
pre { background: var(--card); border: 1px solid var(--grid); border-radius: 8px; padding: .8rem 1rem; overflow-x: auto;
  font-size: .82rem; line-height: 1.45; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .6rem; }
  th, td { padding: .3rem .5rem; }
}
@media print {
  main { max-width: none; padding: 0; }
  nav { display: none; }
  figure, tr { break-inside: avoid; }
  .scroll { border: 0; overflow: visible; }
}
"""
