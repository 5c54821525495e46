"""How the story's page looks: the evaluation's style sheet, with what charts and steps need besides."""

from ivl.evals.report_style import STYLE as EVALUATION

STYLE = (
    EVALUATION
    + """
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:10px}
.tiles>div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px}
.tiles span{color:var(--quiet);font-size:.8rem;display:block}
.tiles b{font-size:1.25rem;display:block;font-variant-numeric:tabular-nums;line-height:1.35}
h3{font-size:.95rem;margin:18px 0 8px;color:var(--quiet)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:12px}
figure{margin:0;padding:12px 12px 6px;background:var(--card);border:1px solid var(--line);border-radius:10px}
figcaption{font-weight:600;font-size:.95rem;margin-bottom:2px}
figure svg{display:block;width:100%;height:auto}
figure svg text{font-size:12px;fill:var(--quiet);font-variant-numeric:tabular-nums}
figure .grid{stroke:var(--line);stroke-width:1}
figure polyline,figure .main,figure .second,figure .third{fill:none;stroke-width:2;stroke-linejoin:round}
figure .faint{stroke:var(--quiet);stroke-width:1;opacity:.4}
figure .main{stroke:var(--s1)}figure .second{stroke:var(--s2)}figure .third{stroke:var(--s3)}
section>ul{margin:12px 0 0;padding:10px 14px 10px 32px}
article .question{margin-top:0}
article dl+.question{margin-top:12px;padding-top:10px;border-top:1px solid var(--line)}
.pictures .id{margin:4px 0 0}
.steps{margin:0;padding:0;list-style:none;counter-reset:step}
.steps li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px;margin:0 0 10px;
counter-increment:step}
.steps .step::before{content:counter(step) ". ";color:var(--quiet)}
.steps p{margin:0 0 6px}
.steps details{margin:6px 0;border-radius:8px}
pre{margin:0;padding:8px 10px;background:var(--page);border-radius:8px;white-space:pre-wrap;overflow-wrap:anywhere;
font:.82rem/1.5 ui-monospace,Menlo,Consolas,"Noto Sans Mono CJK SC",monospace;max-height:26em;overflow-y:auto}
code{font:inherit}
.links a{color:var(--main)}
"""
)
