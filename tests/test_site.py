"""The site: its pages come together in both languages, what they say is so, and what is built holds together."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ivl
from test_docs import blocks, links

ROOT = Path(__file__).parent.parent
DOCS, SITE, SOURCE = ROOT / "docs", ROOT / "docs/site", ROOT / "src"
sys.path.insert(0, str(SITE))

from chinese import words  # noqa: E402
from links import broken_links, requests_elsewhere  # noqa: E402
from reference import Reference  # noqa: E402
from stage import SiteError, page_text, read_sections, rewrite_links, stage  # noqa: E402

PAIRS = ("index", "tutorial", "from-xtuner-lmdeploy", "troubleshooting")
SECTIONS = read_sections(SITE / "nav.toml")
NAMES = [name for section in SECTIONS for name in section.pages]
API = sorted((DOCS / "api").glob("*.md"))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(SOURCE)


def markers(page: Path) -> list[str]:
    return re.findall(r"^<!-- api: ([\w.]+) -->$", page.read_text("utf-8"), re.MULTILINE)


def test_every_page_has_its_place() -> None:
    files = {path.relative_to(DOCS).with_suffix("").as_posix() for path in [*DOCS.glob("*.md"), *API]}
    pages = {name.removesuffix(".zh-CN") for name in files}
    assert sorted(NAMES) == sorted(pages - {"index"})
    assert {name for name in files if name.endswith(".zh-CN")} <= {f"{name}.zh-CN" for name in pages}


def test_the_index_leads_to_every_page() -> None:
    for name in ("index.md", "index.zh-CN.md"):
        linked = {link.replace(".zh-CN", "").removesuffix(".md") for link in links(DOCS / name)}
        assert {page for page in NAMES if not page.startswith("api/")} <= linked


@pytest.mark.parametrize("name", PAIRS)
def test_both_languages_have_the_same_structure_and_code(name: str) -> None:
    english, chinese = DOCS / f"{name}.md", DOCS / f"{name}.zh-CN.md"
    for language in ("console", "text"):
        assert blocks(english, language) == blocks(chinese, language)
    for language in ("sh", "yaml", "python"):
        bare = [[re.sub(r" *#.*", "", text) for text in blocks(page, language)] for page in (english, chinese)]
        assert bare[0] == bare[1]

    def structure(page: Path) -> list[str]:
        text = re.sub(r"^```(\w+)\n.*?^```$", r"```\1", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"^(#+ |```\w+|- |\|)", text, re.MULTILINE)

    assert structure(english) == structure(chinese)
    targets = [{link.replace(".zh-CN", "").partition("#")[0] for link in links(page)} for page in (english, chinese)]
    assert targets[0] - {f"{name}.md"} == targets[1] - {f"{name}.md"}


# The reference


def test_the_reference_is_complete(reference: Reference) -> None:
    shown = {name for page in API for name in markers(page)}
    named = (DOCS / "api/index.md").read_text("utf-8")
    for name in set(ivl.__all__) - {"IvlError", "PytorchEngineConfig", "TurbomindEngineConfig", "__version__"}:
        assert f"ivl.{name}" in shown
    for name in ivl.__all__:
        assert f"`{name}`" in named
    assert {f"ivl.errors.{name}" for name in reference.errors()} <= shown
    for name in shown:
        assert reference(name).strip()


def test_a_function_and_a_class_in_the_reference(reference: Reference) -> None:
    function = reference("ivl.pipeline")
    assert "{py:function} ivl.pipeline(model: str | Path | None = None, " in function
    assert ", *, backend_config: EngineConfig | None = None, " in function
    assert "\n- `backend_config`: LMDeploy's name for engine_config." in function
    fields = reference("ivl.GenerationConfig")
    assert "{py:attribute} max_new_tokens\n:type: int\n:value: 512\n\nTokens generated at most." in fields
    assert "_check_values" not in fields
    assert reference("ivl.Pipeline") == reference("ivl.Pipeline")  # nothing read is changed
    assert "IvlError\n├── SettingsError" in reference("ivl.errors")
    with pytest.raises(KeyError):
        reference("ivl.no_such_name")


# Pages for Sphinx


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (tmp_path / "README.md").write_text("read me")
    (docs / "index.md").write_text("# Home\n\nEnglish | [中文](index.zh-CN.md)\n\n[one](one.md#part)\n")
    (docs / "index.zh-CN.md").write_text("# 首页\n\n[English](index.md) | 中文\n\n第一行\n第二行，[一](one.zh-CN.md)\n")
    (docs / "one.zh-CN.md").write_text("# 一\n")
    (docs / "three.md").write_text("# Three\n")
    (docs / "one.md").write_text("# One\n\n[read](../README.md) <!-- kept -->\n\n<!-- api: a.b -->\n")
    return docs


def test_pages_of_both_languages(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "nav.toml").write_text('[[section]]\nen = "Start"\nzh = "开始"\npages = ["one", "three", "two"]\n')
    sections = read_sections(tmp_path / "nav.toml")
    english = stage(docs, tmp_path / "en", "en", sections, reference=lambda name: f"about {name}")
    chinese = stage(docs, tmp_path / "zh", "zh", sections, reference=lambda name: f"about {name}")
    assert english.pages == chinese.pages == ["index", "one", "three"]
    assert english.missing == ["two"]
    home = (tmp_path / "en/index.md").read_text()
    assert home.startswith("# Home\n\n[one](one.md#part)\n")
    assert ":caption: Start\n\none\nthree\n```" in home
    home = (tmp_path / "zh/index.md").read_text()
    assert home.startswith("# 首页\n\n第一行第二行，[一](one.md)\n")
    assert ":caption: 开始" in home
    assert (tmp_path / "en/one.md").read_text() == "# One\n\nread (`README.md`) <!-- kept -->\n\nabout a.b\n"
    assert (tmp_path / "zh/one.md").read_text() == "# 一\n"
    assert "本页暂时只有英文。" in (tmp_path / "zh/three.md").read_text()


def test_only_links_in_prose_are_rewritten(docs: Path) -> None:
    external: dict[str, set[str]] = {}
    fence = "```md\n[a](../no.md)\n```\n"
    text = f"`[a](../no.md)` [`b`](../README.md)\n{fence}[c](https://example.org/x) [d](#here)\n"
    rewritten = rewrite_links(text, docs, "one", external, "https://host/blob/main/")
    assert rewritten == text.replace("../README.md", "https://host/blob/main/README.md")
    assert external == {"https://example.org/x": {"one"}}


@pytest.mark.parametrize("link", ["none.md", "../none.md", "../../etc"])
def test_a_link_to_nothing_is_named(docs: Path, link: str) -> None:
    with pytest.raises(SiteError, match=r"docs/one\.md links to"):
        rewrite_links(f"[x]({link})", docs, "one", {})


def test_a_page_twice_in_the_contents_is_refused(docs: Path, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="twice"):
        stage(docs, tmp_path / "out", "en", [*SECTIONS, *SECTIONS], reference=str)


def test_the_switch_of_languages_is_left_to_the_site() -> None:
    for name in PAIRS:
        assert "(index" not in str(page_text(DOCS, name, "en"))
        assert "| 中文" not in str(page_text(DOCS, name, "zh"))


# What is built


def test_words_of_two_languages() -> None:
    assert words("微调 InternVL2-2B。") == ["微调", "微", "调", "InternVL2", "2B"]
    assert words("学菜名 x") == ["学菜", "菜名", "学", "菜", "名", "x"]


def test_faults_of_a_site_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">x</a><a href="b.html#there">x</a><a href="c.html">x</a><a href="https://example.org">x</a>'
        '<img src="https://example.org/p.png"><script src="//cdn.example.org/s.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="here">x</p><link rel="stylesheet" href="s.css">')
    (tmp_path / "s.css").write_text("@font-face { src: url(https://example.org/f.woff) }")
    assert broken_links(tmp_path) == [
        "a.html leads to b.html#there, but there is no such place on that page",
        "a.html leads to c.html, which does not exist",
    ]
    assert len(requests_elsewhere(tmp_path)) == 3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "out"
    command = [sys.executable, str(SITE / "build.py"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stderr
    return out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_is_built_without_a_warning(site: Path) -> None:
    for name in ("index", *NAMES):
        assert (site / f"{name}.html").is_file()
        assert 'lang="zh-CN"' in (site / f"zh/{name}.html").read_text("utf-8")[:200]
    assert "huggingface.co" in (site / "external-links.txt").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_works_as_files(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        for name in ("index", *NAMES):
            for place in ("", "zh/"):
                page.goto(f"file://{site}/{place}{name}.html")
                width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert width <= 0, f"{place}{name} scrolls sideways by {width}"
        found = {}
        for place, query in (("", "adapters"), ("zh/", "疑难解答"), ("zh/", "混入通用数据"), ("zh/", "adapter 适配器")):
            page.goto(f"file://{site}/{place}search.html?q={query}")
            page.wait_for_selector("#search-results .search li")
            found[query] = page.inner_text("#search-results")
        assert "疑难解答" in found["疑难解答"]
        assert "教程" in found["混入通用数据"]
        browser.close()
    assert not faults
    assert all(url.startswith(("file:", "data:")) for url in asked)
