import { css } from 'lit'

/** Every value a page may want to change is a custom property, `--tb-…`; the rest follows from them. */
export const ELEMENT_STYLE = css`
  :host {
    --accent: var(--tb-accent, light-dark(#3451c6, #93a9ff));
    --on-accent: var(--tb-on-accent, light-dark(#fff, #10142a));
    --surface: var(--tb-surface, light-dark(#fff, #191c23));
    --text: var(--tb-text, light-dark(#1b1d22, #eceef3));
    --muted: var(--tb-muted, light-dark(#5b616e, #a2a9b8));
    --line: var(--tb-line, light-dark(#e2e3e8, #2f343f));
    --good: var(--tb-success, light-dark(#177245, #63d29b));
    --bad: var(--tb-danger, light-dark(#b3261e, #ff9a92));
    --radius: var(--tb-radius, 14px);
    display: block;
    color: var(--text);
    font: 400 1rem/1.5 sans-serif;
    font-family: var(--tb-font, inherit);
  }
  :host([hidden]) { display: none }
  * { box-sizing: border-box }
  section { padding: 1.5rem; background: var(--surface); border: 1px solid var(--line); border-radius: var(--radius) }
  h2 { margin: 0; font-size: 1.15rem; line-height: 1.35; font-weight: 650 }
  h2:focus { outline: none }
  p { margin: .35rem 0 0; color: var(--muted) }
  .actions { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: 1.1rem }
  button, a.button {
    display: inline-flex; align-items: center; justify-content: center; gap: .5rem; min-height: 2.75rem; padding: .5rem 1.1rem;
    font: inherit; font-weight: 600; text-decoration: none; cursor: pointer; color: var(--text); background: transparent;
    border: 1px solid var(--line); border-radius: calc(var(--radius) * .65)
  }
  button:hover, a.button:hover { border-color: color-mix(in srgb, var(--text) 35%, var(--line)) }
  button.primary, a.button.primary { color: var(--on-accent); background: var(--accent); border-color: transparent }
  button.primary:hover, a.button.primary:hover { background: color-mix(in srgb, var(--accent) 88%, var(--text)) }
  :focus-visible { outline: 3px solid color-mix(in srgb, var(--accent) 65%, transparent); outline-offset: 2px }
  .waiting { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 1.5rem; align-items: start }
  .code { display: flex; flex-wrap: wrap; align-items: center; gap: .75rem; margin: .9rem 0 1.1rem }
  output {
    font: 650 clamp(1.6rem, 6vw, 2.25rem)/1.2 ui-monospace, SFMono-Regular, 'Cascadia Mono', Menlo, 'Noto Sans Mono', monospace;
    letter-spacing: .06em; overflow-wrap: anywhere
  }
  .hint { font-size: .9rem }
  figure { margin: 0; width: 9.5rem; text-align: center }
  figure svg { display: block; width: 100%; border: 1px solid var(--line); border-radius: calc(var(--radius) * .65) }
  figcaption { margin-top: .4rem; color: var(--muted); font-size: .85rem }
  .paste { grid-column: 1 / -1 }
  .paste form { display: grid; gap: .6rem; justify-items: start; margin-top: .6rem }
  .paste label { display: grid; gap: .3rem; width: 100%; font-weight: 600; font-size: .93em }
  summary { cursor: pointer; color: var(--muted) }
  input {
    font: inherit; color: inherit; min-height: 2.75rem; padding: .4rem .7rem; width: 100%; background: transparent;
    border: 1px solid color-mix(in srgb, var(--text) 50%, var(--line)); border-radius: calc(var(--radius) * .65)
  }
  .problem { color: var(--bad) }
  .progress { grid-column: 1 / -1; border-top: 1px solid var(--line); padding-top: 1rem; display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center }
  .progress button { margin-left: auto }
  .dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--accent); animation: breathe 1.8s ease-in-out infinite }
  .timer { color: var(--muted); font-variant-numeric: tabular-nums }
  .result { display: flex; gap: .9rem; align-items: flex-start }
  .mark { flex: none; width: 2.1rem; height: 2.1rem; padding: .45rem; border-radius: 50%; stroke: currentColor; stroke-width: 2.6; fill: none; stroke-linecap: round; stroke-linejoin: round }
  .good { color: var(--good); background: color-mix(in srgb, var(--good) 14%, transparent) }
  .bad { color: var(--bad); background: color-mix(in srgb, var(--bad) 14%, transparent) }
  .visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
  @keyframes breathe { 50% { opacity: .3 } }
  @media (prefers-reduced-motion: reduce) { .dot { animation: none } }
  @container (max-width: 30rem) { .waiting { grid-template-columns: minmax(0, 1fr) } figure { margin-inline: auto } }
  :host { container-type: inline-size }
`
