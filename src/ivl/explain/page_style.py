"""How the page of `ivl explain` looks around the parts that `style.py` styles: light and dark, narrow and wide."""

from ivl.explain.style import STYLE as PARTS

STYLE = (
    """
:root{color-scheme:light dark;--ivl-ink:#1d2433;--ivl-paper:#f6f7f9;--ivl-card:#fff;--ivl-line:#d5dae3;
--ivl-soft:#535d6e;--ivl-accent:#1f5fc9;--ivl-chosen:#e5eefc}
@media (prefers-color-scheme:dark){:root{--ivl-ink:#e5e8ee;--ivl-paper:#14171c;--ivl-card:#1c2027;--ivl-line:#39404c;
--ivl-soft:#a3acbb;--ivl-accent:#7fb0ff;--ivl-chosen:#20304d}}
*{box-sizing:border-box}
body{margin:0;background:var(--ivl-paper);color:var(--ivl-ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 40px}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 8px}
h2{font-size:1.4rem;margin:44px 0 14px;padding-top:18px;border-top:1px solid var(--ivl-line)}
p{max-width:46rem;margin:0 0 12px}
.ivl-page-soft{color:var(--ivl-soft);font-size:.9rem}
.ivl-page-asked{display:grid;grid-template-columns:minmax(0,260px) minmax(0,1fr);gap:20px;padding:16px;margin:18px 0;
background:var(--ivl-card);border:1px solid var(--ivl-line);border-radius:12px}
.ivl-page-asked img{display:block;max-width:100%;height:auto;border-radius:8px;margin:0 0 8px}
.ivl-page-asked dl,.ivl-page-words{margin:0}
dt{font-weight:650;color:var(--ivl-soft);font-size:.875rem}
dd{margin:0 0 14px;white-space:pre-wrap;overflow-wrap:anywhere}
.ivl-page-asked dd.ivl-page-answer{font-size:1.15rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:6px 18px;margin:0;padding:0}
a{color:var(--ivl-accent)}
.ivl-page-flow{list-style:none;counter-reset:step;display:grid;gap:10px;margin:14px 0;padding:0;
grid-template-columns:repeat(auto-fill,minmax(min(100%,230px),1fr))}
.ivl-page-flow li{counter-increment:step;background:var(--ivl-card);border:1px solid var(--ivl-line);
border-radius:10px;padding:10px 12px;font-size:.875rem}
.ivl-page-flow h3{font-size:.95rem;margin:0 0 2px}
.ivl-page-flow h3::before{content:counter(step) ". ";color:var(--ivl-soft)}
.ivl-page-flow strong{display:block;font-size:1.05rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.ivl-page-flow p{margin:4px 0 0;color:var(--ivl-soft)}
fieldset{border:0;margin:0 0 16px;padding:0;min-width:0}
legend{font-weight:650;font-size:.95rem;padding:0;margin:0 0 8px}
.ivl-page-choices{display:flex;flex-wrap:wrap;gap:6px}
.ivl-page-choices input{position:absolute;opacity:0;width:1px;height:1px}
.ivl-page-choices span{position:relative}
.ivl-page-choices label{display:block;min-width:28px;text-align:center;padding:3px 10px;border-radius:8px;
cursor:pointer;border:1px solid var(--ivl-soft);background:var(--ivl-card);overflow-wrap:anywhere}
.ivl-page-choices input:checked+label{background:var(--ivl-chosen);border-color:var(--ivl-accent);font-weight:650;
text-decoration:underline;box-shadow:inset 0 0 0 1px var(--ivl-accent)}
.ivl-page-choices input:focus-visible+label{outline:3px solid var(--ivl-accent);outline-offset:2px}
.ivl-page-words{columns:2 22rem;column-gap:32px}
.ivl-page-words div{break-inside:avoid}
.ivl-page-words dt{color:var(--ivl-ink);font-size:1rem}
footer{margin-top:44px;border-top:1px solid var(--ivl-line);padding-top:14px}
code{font:.9em ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
:focus-visible{outline:3px solid var(--ivl-accent);outline-offset:2px}
@media (max-width:640px){main{padding:18px 14px 32px}.ivl-page-asked{grid-template-columns:minmax(0,1fr)}
h1{font-size:1.45rem}}
"""
    + PARTS
)


def choosing_style(count: int) -> str:
    """Of `count` drawings only that of the chosen word is shown; all of them where a browser cannot tell (no :has)."""
    shown = ",".join(f".ivl-page-gazes:has(#w{at}:checked) #g{at}" for at in range(count))
    rule = f".ivl-page-gaze{{display:none}}{shown}{{display:block}}" if count else ""
    return f"@supports selector(:has(a)){{{rule}}}"
