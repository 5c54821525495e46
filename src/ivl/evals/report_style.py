"""How the evaluation's page looks: its style sheet, light and dark by the reader's own setting."""

STYLE = """
:root{--page:#f6f7f9;--card:#fff;--ink:#1d2433;--quiet:#5b6577;--line:#e3e7ee;--main:#2f6fde;--track:#e6eaf1;
--good:#1c7a4f;--good-back:#ddf3e7;--bad:#b3261e;--bad-back:#fbe3e1;--warn:#8a5a00;--warn-back:#fbeecb;
--plain-back:#e9edf4;--s0:#2f6fde;--s1:#c2410c;--s2:#7c3aed;--s3:#0e7490;--s4:#be185d;--s5:#4d7c0f}
@media (prefers-color-scheme:dark){:root{--page:#12151c;--card:#1b202a;--ink:#e8ebf2;--quiet:#9aa5b8;--line:#2c3442;
--main:#7aa7ff;--track:#2a3240;--good:#7fdcae;--good-back:#173a2a;--bad:#ff9d95;--bad-back:#48211e;--warn:#f4cf7c;
--warn-back:#40340f;--plain-back:#2a3240;--s0:#7aa7ff;--s1:#fb923c;--s2:#b794f6;--s3:#5fd0e6;--s4:#f48fb1;
--s5:#a3d65c}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:1.6rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:0 0 10px;overflow-wrap:anywhere}
h2 small{font-weight:400;font-size:.85rem}
header p{margin:4px 0 0;color:var(--quiet);overflow-wrap:anywhere}
section{margin-top:30px}
section p{margin:0 0 10px}
a{color:inherit;text-decoration-color:var(--quiet);text-underline-offset:3px}
.quiet,small{color:var(--quiet)}
.wide,article,details,section>ul{background:var(--card);border:1px solid var(--line);border-radius:10px}
.wide{overflow-x:auto}
.under{margin:10px 0 0}
table{border-collapse:collapse;width:100%;font-size:.93rem}
th,td{padding:8px 12px;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
tr:first-child>*{border-top:0}
tr:first-child>th{color:var(--quiet);font-weight:600;font-size:.82rem;overflow-wrap:anywhere}
tr:first-child>th i{display:inline-block;width:.7em;height:.7em;border-radius:3px;margin-right:.4em}
tr>th:first-child{position:sticky;left:0;background:var(--card);font-weight:600;min-width:8.5em;max-width:17em}
th small{display:block;font-weight:400;overflow-wrap:anywhere}
td{font-variant-numeric:tabular-nums;min-width:8.5em}
td b{font-size:1.1rem}
td small{display:block;white-space:nowrap}
td .flag{white-space:normal}
.flag{color:var(--warn)}
.fields td{overflow-wrap:anywhere}
.fields th:first-child{color:var(--quiet)}
.plain td{min-width:6em}
svg.bar{display:block;width:132px;height:12px;margin:3px 0 2px}
.bar .track{fill:var(--track)}.bar .chance{stroke:var(--quiet);stroke-width:1;stroke-dasharray:2 2}
.bar .zero{stroke:var(--quiet);stroke-width:1}
.bar .range{opacity:.38}.bar .range,.bar .mean{fill:var(--main)}
.bar.better .range,.bar.better .mean{fill:var(--good)}.bar.worse .range,.bar.worse .mean{fill:var(--bad)}
.bar.same .range,.bar.same .mean{fill:var(--quiet)}
b.better{color:var(--good)}b.worse{color:var(--bad)}
.badge{display:inline-block;border-radius:99px;padding:0 8px;font-size:.76rem;font-weight:600;line-height:1.6;
background:var(--plain-back);color:var(--ink);white-space:nowrap}
.gained,.right{background:var(--good-back);color:var(--good)}
.lost,.wrong{background:var(--bad-back);color:var(--bad)}
.unparsed,.failed{background:var(--warn-back);color:var(--warn)}
.warning{border-left:4px solid var(--warn);background:var(--card);padding:8px 12px;border-radius:4px}
details{margin-top:12px}
summary{padding:8px 12px;cursor:pointer;color:var(--quiet)}
details .wide{border-width:1px 0 0;border-radius:0 0 10px 10px}
details>ul{margin:0;padding:4px 14px 12px 32px;overflow-wrap:anywhere}
details>.cards{padding:0 12px 12px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),1fr));gap:12px}
article{padding:12px;display:flex;gap:14px;min-width:0}
article>div:last-child{min-width:0;flex:1}
.pictures{flex:none;width:172px}
.frame{position:relative;display:block}
.frame img,.several img{display:block;width:100%;height:auto;border-radius:8px;background:var(--plain-back);
outline:1px solid var(--line)}
.several{display:grid;grid-template-columns:1fr 1fr;gap:4px;align-content:start;counter-reset:picture}
.several span{position:relative;display:block;min-width:0}
.several>span{counter-increment:picture}
.several>span:has(img)::after{content:counter(picture);position:absolute;left:4px;top:4px;border-radius:99px;
padding:0 6px;font-size:.72rem;background:var(--card);color:var(--ink)}
.lettered>span:has(img)::after{content:counter(picture,upper-alpha)}
.nopicture{display:block;border-radius:8px;background:var(--plain-back);color:var(--quiet);font-size:.78rem;
padding:10px;overflow-wrap:anywhere}
svg.boxes{position:absolute;inset:0;width:100%;height:100%}
.boxes rect{fill:none;stroke-width:2.5;vector-effect:non-scaling-stroke}
.boxes .expected{stroke:#18a058;stroke-width:4;opacity:.9}
.boxes .subject-0,.boxes .subject-1,.boxes .subject-2,.boxes .subject-3,.boxes .subject-4,.boxes .subject-5{
stroke-dasharray:6 3}
.boxes .subject-0{stroke:#2f6fde}.boxes .subject-1{stroke:#ea580c}.boxes .subject-2{stroke:#9333ea}
.boxes .subject-3{stroke:#0891b2}.boxes .subject-4{stroke:#db2777}.boxes .subject-5{stroke:#65a30d}
.id{font-size:.8rem;color:var(--quiet);margin:0 0 4px;overflow-wrap:anywhere}
.where{opacity:.8}
.question{margin:0 0 6px;font-weight:600;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
.choices{list-style:none;margin:0 0 8px;padding:0;font-size:.93rem;display:flex;flex-wrap:wrap;gap:3px 14px}
.choices li{overflow-wrap:anywhere;unicode-bidi:isolate}
.choices b{color:var(--quiet);font-weight:600}
.choices .correct,.choices .correct b{color:var(--good);font-weight:600}
.expected{margin:0 0 8px;font-size:.93rem;overflow-wrap:anywhere;unicode-bidi:isolate;color:var(--good)}
.expected span{color:var(--quiet)}
dl{margin:0;font-size:.93rem}
dt{color:var(--quiet);font-size:.8rem;overflow-wrap:anywhere;border-left:3px solid var(--line);padding-left:8px}
dd{margin:0 0 6px;padding-left:8px;border-left:3px solid var(--line);min-width:0;white-space:pre-wrap;
overflow-wrap:anywhere;unicode-bidi:isolate;max-height:15em;overflow-y:auto}
.parsed{color:var(--quiet);font-size:.85rem}
dt.subject-0,dt.subject-0+dd{border-color:var(--s0)}dt.subject-1,dt.subject-1+dd{border-color:var(--s1)}
dt.subject-2,dt.subject-2+dd{border-color:var(--s2)}dt.subject-3,dt.subject-3+dd{border-color:var(--s3)}
dt.subject-4,dt.subject-4+dd{border-color:var(--s4)}dt.subject-5,dt.subject-5+dd{border-color:var(--s5)}
i.subject-0{background:var(--s0)}i.subject-1{background:var(--s1)}i.subject-2{background:var(--s2)}
i.subject-3{background:var(--s3)}i.subject-4{background:var(--s4)}i.subject-5{background:var(--s5)}
@media (max-width:520px){article{flex-direction:column}.pictures{width:100%}.pictures .frame{max-width:240px}
th,td{padding:8px}td{min-width:7em}tr>th:first-child{min-width:6.5em;max-width:8em}
td small{white-space:normal}svg.bar{width:84px}tr>th:first-child{font-size:.82rem}}
"""
