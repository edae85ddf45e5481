"""``flexi-score handbook`` and ``demo``: how it is used, and a first run."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, Quiet, app


@app.command
def handbook(
    page: Annotated[str, Parameter(name="PAGE")] = "index",
    /,
    *,
    build: Annotated[
        Path | None, Parameter(help="Instead: write all of it into this folder, as a web site.")
    ] = None,
    open_: Annotated[
        bool, Parameter(name="--open", negative="", help="Show the site in a browser.")
    ] = False,
) -> int:
    """Print a page of the handbook; without PAGE, what pages there are.

    Markdown where it is not printed to a terminal. The site needs MkDocs, the pages do not.

    Try:

        flexi-score handbook
        flexi-score handbook tutorial
        flexi-score handbook metrics-paper
        flexi-score handbook --build site --open
    """
    from flexi_score.handbook import build_site, read_page

    if build is not None:
        first = build_site(app, build)
        print(first)
        if open_:
            import webbrowser

            webbrowser.open(first.resolve().as_uri())
        return OK
    text = read_page(app, page)
    if not sys.stdout.isatty():
        print(text)
        return OK
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager(styles=True, links=True):
        console.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    return OK


@app.command
def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder to write.")] = Path("flexi_demo"),
    open_: Annotated[
        bool, Parameter(name="--open", help="Whether to show the page in a browser.")
    ] = True,
    quiet: Quiet = False,
) -> int:
    """Score thirteen invented conversations, and show the page: nothing but this package is needed.

    The conversations are annotation files: OUT/manifest.jsonl lists them, OUT.run has the results.

    Try:

        flexi-score demo
        flexi-score demo --out demo --no-open
    """
    from flexi_score.cli.app import folder_to_write
    from flexi_score.cli.report import report
    from flexi_score.cli.score import score
    from flexi_score.handbook.examples import write_examples

    folder_to_write(out, "--out")
    run = out.with_name(f"{out.name}.run")
    write_examples(out)
    code = score(out, out=run, quiet=quiet)
    if open_:
        report(run, open_=True)
    return code
