"""How the walk looks: one style sheet for the parts that `sections.py` and `prompt_sections.py` make.

Colours follow the page around it by its --ivl-* variables, or stand by themselves; every meaning that a colour has
is also told by a frame, a number or a word.
"""

STYLE = """
.ivl-how-part{--line:var(--ivl-line,#d9dde5);--soft:var(--ivl-soft,#5b6577);--card:var(--ivl-card,#fff);
--accent:var(--ivl-accent,#2f6fde);margin:0 0 28px;min-width:0;line-height:1.5;color:var(--ivl-ink,#1d2433)}
.ivl-how-part h2{font-size:1.4rem;margin:0 0 6px;font-weight:650}
.ivl-how-head{margin-bottom:8px}
.ivl-how-part h3{font-size:1.15rem;margin:0 0 6px;font-weight:650}
.ivl-how-part h4{font-size:.95rem;margin:18px 0 8px;font-weight:650}
.ivl-how-part p{margin:0 0 12px;max-width:46rem}
.ivl-how-part figure{margin:0;min-width:0}
.ivl-how-part figcaption{font-size:.875rem;color:var(--soft);margin-top:6px}
.ivl-how-part img,.ivl-how-part figure svg{display:block;max-width:100%;height:auto;border-radius:6px;margin:0}
.ivl-how-part img,.ivl-how-part figure svg,.ivl-how-box svg{outline:1px solid var(--line);outline-offset:-1px}
.ivl-how-row{display:flex;flex-wrap:wrap;gap:18px 24px;align-items:flex-start}
.ivl-how-chosen{flex:1 1 320px;max-width:460px}
.ivl-how-all{flex:2 1 300px;min-width:0}
.ivl-how-all h4:first-child{margin-top:0}
.ivl-how-chosen svg{width:100%}
.ivl-how-shade{fill:none;stroke:#10141c;stroke-width:4.5;vector-effect:non-scaling-stroke}
.ivl-how-line{fill:none;stroke:#fff;stroke-width:2;vector-effect:non-scaling-stroke}
.ivl-how-thin{fill:none;stroke:#10141c;stroke-opacity:.5;stroke-width:1.5;vector-effect:non-scaling-stroke}
.ivl-how-thin+.ivl-how-thin{stroke:#fff;stroke-opacity:.75;stroke-width:.75}
.ivl-how-mark{fill:none;stroke:#ffd23f;stroke-width:2.5;vector-effect:non-scaling-stroke}
.ivl-how-chosen circle{fill:#10141c;stroke:#fff;stroke-width:1.5}
.ivl-how-chosen text{fill:#fff;text-anchor:middle;dominant-baseline:central;font-weight:600}
.ivl-how-grids{list-style:none;margin:0;padding:0;display:grid;gap:10px;
grid-template-columns:repeat(auto-fill,minmax(98px,1fr))}
.ivl-how-grids li{display:flex;flex-direction:column;align-items:center;gap:2px;padding:8px 4px;margin:0;
border:1px solid var(--line);border-radius:8px;background:var(--card);font-size:.75rem;text-align:center;
color:var(--soft);font-variant-numeric:tabular-nums}
.ivl-how-grids li.ivl-how-taken{border:3px solid var(--accent);padding:6px 2px}
.ivl-how-grids b{color:var(--ivl-ink,#1d2433)}
.ivl-how-box{height:88px;display:flex;align-items:center;justify-content:center}
.ivl-how-box svg{display:block;background-image:var(--ivl-how-picture);background-size:100% 100%}
.ivl-how-box .ivl-how-shade{stroke-width:1.8;stroke-opacity:.75}
.ivl-how-box .ivl-how-line{stroke-width:.8}
.ivl-how-sheet{display:grid;gap:6px;flex:1 1 260px;min-width:0}
.ivl-how-sheet.ivl-how-thumbnail{flex:0 1 160px}
.ivl-how-tile{position:relative;min-width:0}
.ivl-how-tile img{width:100%}
.ivl-how-tile span{position:absolute;left:5px;top:5px;background:#10141c;color:#fff;border:1px solid #fff;
border-radius:6px;padding:0 6px;font-size:.75rem;line-height:1.5;font-weight:600}
.ivl-how-net{flex:0 1 280px;min-width:200px}
.ivl-how-net svg{width:100%}
.ivl-how-arrow{align-self:center;font-size:1.8rem;color:var(--soft)}
.ivl-how-wide{overflow-x:auto;max-width:100%;margin:14px 0}
.ivl-how-row>.ivl-how-wide{margin:0}
.ivl-how-part table{border-collapse:collapse;font-size:.875rem;margin:0;width:auto;min-width:min(100%,320px)}
.ivl-how-part caption{text-align:left;font-weight:650;padding:0 0 6px;font-size:.95rem}
.ivl-how-part th,.ivl-how-part td{padding:5px 14px 5px 0;text-align:left;border:0;border-top:1px solid var(--line);
font-variant-numeric:tabular-nums;vertical-align:baseline}
.ivl-how-part thead th{border-top:0;color:var(--soft);font-weight:600;font-size:.8rem}
.ivl-how-part tbody th{font-weight:500}
.ivl-how-part tfoot th,.ivl-how-part tfoot td{font-weight:650}
.ivl-how-text{border:1px solid var(--line);border-radius:8px;background:var(--card);padding:10px;line-height:2.05;
max-height:26rem;overflow-y:auto;overflow-wrap:anywhere}
.ivl-how-token{display:inline-block;white-space:pre-wrap;font:.82rem/1.45 ui-monospace,Menlo,Consolas,
"Noto Sans Mono CJK SC",monospace;padding:0 4px;margin:0 2px 0 0;border-radius:4px;border:1px solid;max-width:100%}
.ivl-how-kind-template{background:color-mix(in srgb,#7b8494 14%,transparent);border-color:#7b8494;border-style:dashed}
.ivl-how-kind-text{background:color-mix(in srgb,#2f7ee0 17%,transparent);border-color:#2f7ee0}
.ivl-how-kind-image{background:color-mix(in srgb,#c2560c 17%,transparent);border:3px double #c2560c}
.ivl-how-kind-answer{background:color-mix(in srgb,#1d8a57 19%,transparent);border-color:#1d8a57;border-bottom-width:3px}
.ivl-how-bar{display:flex;height:34px;border-radius:8px;overflow:hidden;max-width:46rem;margin:4px 0 10px}
.ivl-how-bar i,.ivl-how-swatch{font-style:normal;font-weight:650;color:#fff;text-align:center;font-size:.8rem}
.ivl-how-bar i{flex:0 1 0;min-width:3px;overflow:hidden;line-height:34px;border-left:1px solid #fff}
.ivl-how-swatch{display:inline-block;width:1.5em;line-height:1.5;border-radius:4px;margin-right:6px}
.ivl-how-stage-read{background:#5a6474}.ivl-how-stage-cut{background:#7a4fb5}.ivl-how-stage-vision{background:#b34a0a}
.ivl-how-stage-prefill{background:#1f63c4}.ivl-how-stage-decode{background:#17724a}
.ivl-how-gaze figure{flex:1 1 320px;max-width:620px}
.ivl-how-gaze figure>img{width:100%}
.ivl-how-scale{display:flex;align-items:center;gap:8px;margin-top:6px}
.ivl-how-scale img{width:160px;height:12px;border-radius:3px}
#ivl-how-show{max-width:24rem}
.ivl-how-status{margin:0;font-size:.9rem;color:var(--ivl-soft,#5b6577)}
@media (max-width:520px){.ivl-how-arrow{display:none}.ivl-how-grids{grid-template-columns:repeat(3,1fr)}
.ivl-how-part th,.ivl-how-part td{padding-right:10px}.ivl-how-text{max-height:22rem}}
"""
