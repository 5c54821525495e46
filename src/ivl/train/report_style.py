"""How the run's page looks: its style sheet, light and dark by the reader's own setting."""

STYLE = """
:root{--page:#f6f7f9;--card:#fff;--ink:#1d2433;--quiet:#5b6577;--line:#e3e7ee;--main:#2f6fde;--second:#d0661c;
--third:#218358;--good:#1c7a4f;--good-back:#ddf3e7;--bad:#b3261e;--bad-back:#fbe3e1;--plain-back:#e9edf4}
@media (prefers-color-scheme:dark){:root{--page:#12151c;--card:#1b202a;--ink:#e8ebf2;--quiet:#9aa5b8;--line:#2c3442;
--main:#7aa7ff;--second:#f2a266;--third:#5fcf9a;--good:#7fdcae;--good-back:#173a2a;--bad:#ff9d95;--bad-back:#48211e;
--plain-back:#2a3240}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1080px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:1.6rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:0 0 10px}
header p{margin:4px 0 0;color:var(--quiet);overflow-wrap:anywhere}
section{margin-top:28px}
section p{margin:0 0 10px}
.moment{white-space:nowrap}
.quiet,small{color:var(--quiet)}
.state,.badge{display:inline-block;border-radius:99px;padding:1px 9px;font-size:.8rem;font-weight:600;
background:var(--plain-back);color:var(--ink);white-space:nowrap}
.finished,.gained,.right{background:var(--good-back);color:var(--good)}
.broken,.lost{background:var(--bad-back);color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(118px,1fr));gap:10px}
.tiles>div,figure,article,.wide,section>ul,details{background:var(--card);border:1px solid var(--line);
border-radius:10px}
.tiles>div{padding:10px 12px}
.tiles span{color:var(--quiet);font-size:.8rem;display:block}
.tiles b{font-size:1.25rem;display:block;font-variant-numeric:tabular-nums;line-height:1.35}
.tiles small{font-size:.8rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:12px}
figure{margin:0;padding:12px 12px 6px}
figcaption{font-weight:600;font-size:.95rem;margin-bottom:2px}
svg{display:block;width:100%;height:auto}
svg text{font-size:12px;fill:var(--quiet);font-variant-numeric:tabular-nums}
svg .grid{stroke:var(--line);stroke-width:1}
svg polyline,svg .main,svg .second,svg .third{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .faint{stroke:var(--main);stroke-width:1;opacity:.32}
svg .main{stroke:var(--main)}svg .second{stroke:var(--second)}svg .third{stroke:var(--third)}
svg circle.main,svg circle.faint{fill:var(--main)}svg circle.second{fill:var(--second)}
svg circle.third{fill:var(--third)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.93rem}
th,td{padding:6px 12px;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
tr:first-child>*{border-top:0}
th{color:var(--quiet);font-weight:600;font-size:.82rem}
.numbers{font-variant-numeric:tabular-nums}
.fields td{overflow-wrap:anywhere}
.fields td:first-child{white-space:nowrap;color:var(--quiet)}
code{font:.92em ui-monospace,Menlo,Consolas,monospace}
section>ul{margin:0;padding:10px 14px 10px 32px;overflow-wrap:anywhere}
details{margin-top:10px}
summary{padding:8px 12px;cursor:pointer;color:var(--quiet)}
details .wide{border-width:1px 0 0;border-radius:0}
.warning{border-left:4px solid var(--second);background:var(--card);padding:8px 12px;border-radius:4px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr));gap:12px}
article{padding:12px;display:flex;gap:12px;min-width:0}
article>div{min-width:0;flex:1}
article img{width:112px;height:112px;object-fit:cover;border-radius:8px;flex:none;background:var(--plain-back)}
.id{font-size:.8rem;color:var(--quiet);margin:0 0 4px;overflow-wrap:anywhere}
.question{margin:0 0 8px;font-weight:600;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
dl{margin:0;display:grid;grid-template-columns:max-content 1fr;gap:3px 12px;font-size:.93rem}
dt{color:var(--quiet)}
dd{margin:0;min-width:0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;max-height:15em;
overflow-y:auto}
dd.after{font-weight:600}
@media (max-width:480px){article{flex-direction:column}article img{width:100%;height:auto;max-height:220px}
.tiles{grid-template-columns:1fr 1fr}}
"""
