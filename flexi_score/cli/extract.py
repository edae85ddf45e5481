"""``flexi-score extract``, ``merge`` and ``init``: what scoring starts from."""

import json
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from flexi_score.cli.app import (
    OK,
    SOME_FAILED,
    Channels,
    Layout,
    ModelOptions,
    Quiet,
    ReadingOptions,
    SetOption,
    SourceName,
    SystemName,
    Threads,
    app,
    chosen_settings,
    folder_to_write,
)
from flexi_score.cli.progress import ExtractionProgress

Workers = Annotated[
    int, Parameter(help="Processes that extract; 0 chooses by the machine and the audio.")
]
RetryFailed = Annotated[
    bool, Parameter(negative="", help="Try again what failed before, though nothing changed.")
]


@app.command
def extract(
    source: Annotated[str, Parameter(name="INPUT")],
    *,
    archive: Annotated[str, Parameter(help="Folder of the archive; made where there is none.")],
    set_: SetOption = None,
    models: ModelOptions = ModelOptions(),
    reading: ReadingOptions = ReadingOptions(),
    workers: Workers = 0,
    threads: Threads = 0,
    executor: Annotated[
        Literal["local", "ray"], Parameter(help="Where workers run: here, or as Ray actors.")
    ] = "local",
    shard: Annotated[
        str | None, Parameter(help="Only part i of n of the recordings, as 2/8; see merge.")
    ] = None,
    retry_failed: RetryFailed = False,
    repair: Annotated[
        bool, Parameter(negative="", help="Move damaged parts aside; make again what they held.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Extract speech and words of INPUT into an archive, to be scored any time without audio.

    Try:

        flexi-score extract calls/ --archive calls.archive
        flexi-score extract calls/ --archive calls.archive --workers 8 --asr base
        flexi-score extract calls.jsonl --archive part2.archive --shard 2/8
        flexi-score extract s3://b/calls.jsonl --archive s3://b/calls --executor ray

    INPUT (a manifest) and the archive may be fsspec URLs.
    """
    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.extraction.remote import is_url, mirror_archive
    from flexi_score.extraction.run import parse_shard
    from flexi_score.report.tables import counted
    from flexi_score.scoring import pipeline

    settings = chosen_settings("paper", set_, models.changes())
    folder_to_write(Path(archive), "--archive")
    part = None if shard is None else parse_shard(shard)
    with ExitStack() as opened:
        # An archive at a URL is written by way of a copy here.
        local = nullcontext((Path(archive), lambda: None))
        folder, after_write = opened.enter_context(
            mirror_archive(archive) if is_url(archive) else local
        )
        with ExtractionProgress(source, reading, quiet, part) as progress:
            _, manifest = pipeline.extract(
                progress.manifest,
                folder,
                settings=settings,
                threads=threads,
                workers=workers,
                executor=executor,
                shard=part,
                retry_failed=retry_failed,
                repair=repair,
                after_write=after_write,
                progress=progress.advance,
            )
        reader = ArchiveReader(folder)
        held, failed = reader.recordings(), reader.failures()
    failed = failed.join(manifest.failures, on="recording", how="anti", maintain_order="left")
    n_failed = len(failed) + len(manifest.failures)
    print(f"{archive}: {counted(len(held), 'recording')}; {n_failed} failed")
    for row in [*manifest.failures.iter_rows(named=True), *failed.iter_rows(named=True)]:
        print(f"  {row['recording']}: {row['reason']}", file=sys.stderr)
    return SOME_FAILED if n_failed else OK


@app.command
def merge(
    archives: Annotated[list[Path], Parameter(name="ARCHIVE", negative="")],
    /,
    *,
    into: Annotated[Path, Parameter(help="Archive to add to; made where there is none.")],
) -> int:
    """Put ARCHIVEs together, as the shards of one extraction; nothing is extracted or changed.

    Every part is checked by the hash in its name first: if one is damaged, nothing is merged.

    Try:

        flexi-score merge part1.archive part2.archive --into calls.archive
    """
    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.report.tables import counted
    from flexi_score.scoring.merge import merge_archives

    added = merge_archives(archives, into)
    reader = ArchiveReader(into)
    held, failed = reader.recordings(), reader.failures()
    recordings = counted(len(held), "recording")
    print(f"{into}: {counted(added, 'part')} added; {recordings}; {len(failed)} failed")
    return OK


@app.command
def init(
    folder: Annotated[Path, Parameter(name="FOLDER")],
    *,
    out: Annotated[
        Path | None, Parameter(help="Where to write it [FOLDER/manifest.jsonl].")
    ] = None,
    layout: Layout = "auto",
    channels: Channels = None,
    source_name: SourceName = None,
    system: SystemName = None,
    force: Annotated[bool, Parameter(negative="", help="Write over a manifest.")] = False,
) -> int:
    """Write a manifest of the recordings in FOLDER: who is on which channel, system, scenario.

    Edit it, then score it: a folder that holds a manifest is read through it. Paths are relative to
    the manifest.

    Try:

        flexi-score init calls/
        flexi-score init calls/ --source livekit --system my-agent
    """
    from flexi_score.errors import InputError, OutputError
    from flexi_score.extraction.draft import draft_manifest
    from flexi_score.output import write_text
    from flexi_score.report.tables import counted

    target = out or folder / "manifest.jsonl"
    if target.exists() and not force:
        raise OutputError(f"{target}: is there already; --force writes over it, --out elsewhere")
    if target.absolute().parent != folder.absolute():
        raise InputError(
            f"{target}: expected a file in {folder}, because its paths are relative to the manifest"
        )
    rows, notes = draft_manifest(folder, layout, system, channels=channels, source=source_name)
    text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
    write_text(target, text)
    print(f"{target}: {counted(len(rows), 'recording')}")
    for note in notes:
        print(note, file=sys.stderr)
    return OK
