"""The page: the report's styles, timeline and table, and what moves settings."""

from importlib import resources
from typing import Final

from markupsafe import Markup

from flexi_score.explore.rate import labels_file
from flexi_score.explore.session import Session
from flexi_score.report.html import embedded_json, page_css, page_environment, page_script
from flexi_score.report.tables import plain

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self' blob:; "
    "connect-src 'self'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def render_page(session: Session) -> tuple[str, str]:
    """The page of a session, and its content security policy."""
    assets = resources.files("flexi_score.explore").joinpath("assets")
    script, script_hash = page_script(assets.joinpath("explore.js").read_text("utf-8"))
    run, template = session.run, page_environment("explore/assets").get_template("page.html.j2")
    text = template.render(
        title=plain(run.name.removesuffix(".run")),
        css=page_css() + Markup(assets.joinpath("explore.css").read_text("utf-8")),
        script=script,
        facts=f"{len(session.names):,} recordings, profile {run.settings.profile}",
        sliders=session.sliders,
        command=session.command(),
        labels=plain(labels_file(session)),
        index=embedded_json(session.index()),
    )
    return text.lstrip(), _POLICY.format(hash=script_hash)
