"""Requirements against what is installed."""

from importlib import metadata

import pytest

from ivl.explain.packages import (
    Requirement,
    check_extra,
    check_python,
    check_required,
    package_checks,
    parse_requirement,
    versions_allow,
)


@pytest.mark.parametrize(
    ("allowed", "version", "expected"),
    [
        (">=2.11", "2.13.0+cpu", True),
        (">=2.11", "2.9.1", False),
        (">=2.11", "2.11", True),
        (">=2.11", "2.11.0", True),
        ("<13,>=12.3", "12.3.0", True),
        ("<13,>=12.3", "13.0.0", False),
        ("<13,>=12.3", "12.2", False),
        ("==1.0", "1.0.0", True),
        ("!=1.5", "1.5.0", False),
        (">2,<=3", "3", True),
        (">2,<=3", "2.0", False),
        ("", "0.1", True),
    ],
)
def test_ranges(allowed, version, expected):
    assert versions_allow(allowed, version) is expected


def test_metadata_lines():
    assert parse_requirement("torch>=2.11") == Requirement(package="torch", versions=">=2.11")
    assert parse_requirement("pillow<13,>=12.3") == Requirement(package="pillow", versions="<13,>=12.3")
    assert parse_requirement("click") == Requirement(package="click", versions="")
    assert parse_requirement("av>=14; extra == 'video'") == Requirement(package="av", versions=">=14", extra="video")
    assert parse_requirement('uvicorn[standard]>=1 ; extra == "serve"') == Requirement(
        package="uvicorn", versions=">=1", extra="serve"
    )
    assert parse_requirement("ivl[video]; extra == 'dev'") is None
    assert parse_requirement("tomli; python_version < '3.11'") is None


def test_every_line_of_our_own_metadata_is_understood():
    for line in metadata.requires("ivl") or ():
        parsed = parse_requirement(line)
        assert parsed is not None or line.startswith("ivl["), line


def test_an_old_and_a_missing_package():
    asked = [
        Requirement(package="pillow", versions=">=12.3,<13"),
        Requirement(package="click", versions=">=8"),
    ]
    check = check_required(asked, {"pillow": "11.0", "click": None})
    assert (check.level, check.found) == ("problem", "pillow 11.0, click is missing")
    assert check.advice == "pip install 'pillow>=12.3,<13' 'click>=8'"
    assert check_required(asked, {"pillow": "12.4.1", "click": "8.5"}).level == "ok"


def test_a_missing_extra_is_a_warning_with_its_pip_line():
    asked = [Requirement(package="av", versions=">=14", extra="video")]
    check = check_extra("video", asked, {"av": None})
    assert (check.name, check.level) == ("extra video", "warning")
    assert (check.found, check.advice) == ("av is not installed", "pip install 'av>=14'")
    assert check_extra("video", asked, {"av": "18.1.0"}).level == "ok"


def test_another_python():
    assert check_python("3.11.7", "<3.14,>=3.11").level == "ok"
    check = check_python("3.10.1", "<3.14,>=3.11")
    assert (check.level, check.advice) == ("problem", "ivl needs Python <3.14,>=3.11")


def test_this_environment_has_what_it_needs():
    checks = {check.name: check for check in package_checks()}
    assert checks["python"].level == "ok"
    assert checks["packages"].level == "ok", checks["packages"]


def test_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    (check,) = package_checks()
    assert check.level == "warning"
