"""`cornernet predict`: pictures and videos in; drawn pictures and lists of detections out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cornernet.cli.command import DONE, FAILED, Command, say
from cornernet.cli.options import FindingOptions, load_detector, require_score, stream_settings
from cornernet.cli.progress import progress
from cornernet.errors import ImageError

if TYPE_CHECKING:
    from cornernet.cli.output import Background
    from cornernet.cli.results import Found
    from cornernet.cli.sources import Source
    from cornernet.cli.video import Video
    from cornernet.inference.detector import Detector, Picture, PlacedMaps
    from cornernet.structures.detections import Detections

_DRAWN_SUFFIXES = (".png", ".jpg", ".jpeg")  # what is drawn is a JPEG where the source was one, or a PNG


@dataclass(frozen=True, kw_only=True)
class PredictOptions(FindingOptions):
    """Find objects in pictures and videos, draw them and list them.

    Attributes:
        sources: Files, folders, patterns such as "photos/*.jpg", URLs of pictures, video files.
        output: Folder to write to; a new one, runs/predict/NAME, by default.
        format: What the detections are listed in: detections.json, detections.csv, detections.parquet.
        draw: Write the pictures and videos with the boxes drawn on them.
        draw_conf: Least score of a box that is drawn, and counted in the lines printed; the lists hold all from --conf.
        heatmaps: Write each picture with the heat of its top-left and bottom-right corners over it.
        recursive: Look in the folders below each folder as well.
    """

    sources: tuple[str, ...]
    output: Path | None = None
    format: tuple[Literal["coco", "csv", "parquet"], ...] = ("coco",)
    draw: bool = True
    heatmaps: bool = False
    recursive: bool = False
    draw_conf: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_score("--draw-conf", self.draw_conf)


def run(options: PredictOptions) -> int:
    """Predicts, and returns the exit code: 1 when a source could not be read."""
    from cornernet.cli.output import Background, run_folder
    from cornernet.cli.results import check_formats, write_results
    from cornernet.cli.sources import find_sources, source_name

    check_formats(options.format)
    sources = find_sources(options.sources, recursive=options.recursive)
    detector = load_detector(options)
    folder = run_folder(options.output, "predict", source_name(str((*sources.pictures, *sources.videos)[0])))
    started = time.perf_counter()
    with Background(options.workers) as background:
        work = _Work(options, detector, folder, background)
        work.pictures(sources.pictures)
        for video in sources.videos:
            work.video(video)
    write_results(folder, options.format, work.found, detector.record.classes)
    work.close(time.perf_counter() - started)
    return FAILED if work.failed else DONE


class _Work:
    """One run: what it works with, and what came of it so far."""

    def __init__(self, options: PredictOptions, detector: Detector, folder: Path, background: Background) -> None:
        from cornernet.cli.output import Names

        self.options = options
        self.detector = detector
        self.folder = folder
        self.background = background
        self.names = Names()
        self.found: list[Found] = []
        self.failed = 0

    def pictures(self, sources: Sequence[Source]) -> None:
        """Looks at each picture; one that cannot be read is reported and left out."""
        from cornernet.cli.results import Found

        with progress("pictures", len(sources)) as step:

            def report(_: Any, error: ImageError) -> None:
                self._report(error)
                step()

            for picture, detections in self._stream(sources, report):
                source = str(detections.source)
                self.found.append(Found(file_name=_file_name(source), detections=detections))
                self._draw(source, picture, detections)
                print(f"{source}: {_counted(self._shown(detections).names)}", flush=True)
                step()

    def video(self, path: Path) -> None:
        """Looks at each frame of a video; one that cannot be read is reported and left out."""
        from cornernet.cli.video import Video

        try:
            video = Video(path, max_pixels=self.options.max_pixels)
            found = self._frames(video)
        except ImageError as error:
            self._report(error)
            return
        self.found.extend(found)
        names = [name for one in found for name in self._shown(one.detections).names]
        print(f"{path}: {len(found)} frames, {_counted(names)}", flush=True)

    def close(self, seconds: float) -> None:
        """Says what was done, where it lies, and what was not done."""
        done = len(self.found)
        pace = f" ({1000 * seconds / done:.0f} ms each)" if done else ""
        say(f"{done} pictures in {seconds:.1f} s{pace}, written to {self.folder}")
        if self.failed:
            say(f"error: {self.failed} of the files could not be read, and are left out")

    def _stream(
        self, sources: Iterable[Any], report: Callable[[Any, ImageError], None] | None = None
    ) -> Iterator[tuple[Picture, Detections]]:
        return self.detector.stream(sources, on_error=report, **stream_settings(self.options))

    def _shown(self, detections: Detections) -> Detections:
        """Those worth looking at."""
        return detections[detections.scores >= self.options.draw_conf]

    def _report(self, error: ImageError) -> None:
        self.failed += 1
        say(f"error: {error}")

    def _draw(self, source: str, picture: Picture, detections: Detections) -> None:
        """Draws in the background what was asked for; the heatmaps' network runs here."""
        if not (self.options.draw or self.options.heatmaps):
            return
        name = self.names.unique(source, _DRAWN_SUFFIXES)
        if self.options.draw:
            self.background.submit(_write_drawn, self.folder / "pictures" / name, picture, self._shown(detections))
        if self.options.heatmaps:
            maps = self.detector.corner_maps(picture)
            self.background.submit(_write_heatmaps, self.folder / "heatmaps" / name, picture, maps)

    def _frames(self, video: Video) -> list[Found]:
        """The detections of each frame, the frames drawn into a new video."""
        from cornernet.cli.results import Found
        from cornernet.cli.video import drawn_video

        found: list[Found] = []
        file_name = _file_name(str(video.path))
        with ExitStack() as stack:
            append = None
            if self.options.draw:
                path = self.folder / self.names.unique(str(video.path), (".mp4",))
                append = stack.enter_context(drawn_video(path, video.fps))
            step = stack.enter_context(progress(video.path.name, video.frame_count))
            for frame, detections in self._stream(video.frames()):
                found.append(Found(file_name=file_name, detections=detections, frame_index=len(found)))
                if append is not None:
                    append(self._shown(detections).draw(frame))
                step()
        return found


def _write_drawn(path: Path, picture: Picture, detections: Detections) -> None:
    from cornernet.cli.output import write_picture

    write_picture(path, detections.draw(picture))


def _write_heatmaps(path: Path, picture: Picture, maps: PlacedMaps) -> None:
    from cornernet.cli.output import write_picture
    from cornernet.inference.heatmaps import draw_heatmaps

    write_picture(path, draw_heatmaps(picture, maps))


def _file_name(source: str) -> str:
    """As it stands in the lists: with forward slashes on every system."""
    return source if "://" in source else Path(source).as_posix()


def _counted(names: Sequence[str]) -> str:
    """Such as "3 person, 1 dog", the most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common()) or "nothing"


COMMAND = Command(options=PredictOptions, run=run, positionals=("sources",))
