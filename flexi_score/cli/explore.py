"""``flexi-score explore``: a local page on a run, over the engine that scores."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, Open, app


@app.command
def explore(
    run: Annotated[Path, Parameter(name="RUN")],
    /,
    *,
    archive: Annotated[Path | None, Parameter(help="What is scored [the run's archive].")] = None,
    port: Annotated[int, Parameter(help="Port to listen at; 0: any that is free.")] = 0,
    open_: Open = False,
) -> int:
    """Serve a page, to this machine alone, that scores RUN again as settings move.

    Its address is printed with a secret: whoever has both, on this machine, can open it. Nothing
    else is asked of any network. Ctrl-C ends it.

    Try:

        flexi-score explore sample_recordings.run --open
    """
    from flexi_score.errors import OutputError, PrerequisiteError

    try:
        import uvicorn

        from flexi_score.explore.server import ADDRESS, build_app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("uvicorn", "starlette"):
            raise
        raise PrerequisiteError(
            f"explore needs the package {error.name}, which is not installed: in a checkout of "
            "flexi_score, pip install '.[explore]'"
        ) from error
    import secrets
    import socket

    from flexi_score.explore.session import open_session

    session = open_session(run, archive)
    token = secrets.token_urlsafe(24)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, port))
        except (OSError, OverflowError) as error:
            raise OutputError(
                f"--port {port}: cannot be used ({error}); give another one, or 0 for any"
            ) from error
        port = listener.getsockname()[1]
        address = f"http://{ADDRESS}:{port}/?token={token}"
        server = uvicorn.Server(
            uvicorn.Config(build_app(session, port, token), log_level="warning", ws="none")
        )
        print(address, flush=True)
        print("Ctrl-C ends it", file=sys.stderr)
        if open_:
            import webbrowser

            webbrowser.open(address)
        listener.listen()
        server.run(sockets=[listener])
    return OK
