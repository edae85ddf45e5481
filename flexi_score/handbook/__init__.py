"""The handbook: Markdown beside this module, and a reference made from the code.

The pages of the reference are made whenever they are read or built, not kept: they cannot lag
behind the code, and no copy has to be held equal to it.
"""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flexi_score.config import PROFILES, unknown_name
from flexi_score.errors import InputError, PrerequisiteError
from flexi_score.handbook.reference import Pictures, reference_pages
from flexi_score.output import writing_together
from flexi_score.version import install_command

_HERE: Final = resources.files("flexi_score.handbook")


def handbook_pages(app: Any, pictures: Pictures | None = None) -> dict[str, Callable[[], str]]:
    """What gives each page as Markdown, by its path: ``tutorial.md``, ``howto/judge.md``, ...

    Parameters
    ----------
    app : cyclopts.App
        The command line, whose help is part of the reference.
    pictures : mapping, optional
        Where rules are drawn (:func:`flexi_score.handbook.drawn.draw_rules`).
    """
    folder = Path(str(_HERE))
    written = {
        path.relative_to(folder).as_posix(): partial(path.read_text, "utf-8")
        for path in sorted(folder.rglob("*.md"))
    }
    return written | reference_pages(app, PROFILES, pictures or {})


def read_page(app: Any, name: str) -> str:
    """A page as Markdown, called by its path or by its file's name without the extension.

    Raises
    ------
    InputError
        Naming the nearest page.
    """
    pages = handbook_pages(app)
    known = {path.rpartition("/")[2].removesuffix(".md"): path for path in pages}
    wanted = name.rpartition("/")[2].removesuffix(".md")
    path = known.get("metrics-paper" if wanted == "metrics" else wanted)
    if path is None:
        raise InputError(unknown_name("page", name, list(known)))
    return pages[path]()


def build_site(app: Any, out: Path, drawn: Sequence[str] = PROFILES) -> Path:
    """Write the handbook as a web site that opens offline, and return its first page.

    ``drawn`` are the profiles whose rules are drawn. What else is in the folder stays.

    Raises
    ------
    PrerequisiteError
        Without MkDocs.
    OutputError
        If it cannot be written.
    """
    try:
        from mkdocs.commands.build import build
        from mkdocs.config import load_config
    except ImportError as error:
        raise PrerequisiteError(
            f"the site is built by MkDocs, which is not installed: {install_command('docs')}; "
            "flexi-score handbook PAGE needs nothing"
        ) from error
    from flexi_score.handbook.drawn import draw_rules

    with TemporaryDirectory() as folder:
        docs = Path(folder) / "docs"
        figures = draw_rules(drawn, docs / "reference" / "drawn")
        pictures = {key: f"drawn/{file}" for key, file in figures.items()}
        for path, page in handbook_pages(app, pictures).items():
            (docs / path).parent.mkdir(parents=True, exist_ok=True)
            (docs / path).write_text(page(), "utf-8")
        for file in ("page.png", "iframe-worker.js", "site.css", "site.js"):
            shutil.copy(str(_HERE / file), docs)
        config = str(_HERE / "mkdocs.yml")
        with writing_together(out, "index.html") as aside:
            build(load_config(config, docs_dir=str(docs), site_dir=str(aside), strict=True))
            (aside / "404.html").unlink(missing_ok=True)  # a server's, and there is none
    return out / "index.html"
