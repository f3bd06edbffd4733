"""Sizes of images and clips as declared in their headers; no pixels are decoded."""

from __future__ import annotations

from pathlib import Path

from app.errors import MediaError
from app.media import container, files, images, pictures
from models.messages import msg


def declared_size(path: str | Path) -> tuple[int, int]:
    """(width, height) in stored pixels of an image, a clip, or the first image of a sequence.

    Args:
        path: As for ``open_clip``.

    Raises:
        MediaError: The file is missing, is neither an image nor a clip, or is too large.
        MissingError: A plug-in is needed, see ``read_image``.
    """
    path = files.check_input(pictures.members(Path(path))[0])
    if images.is_image(path):
        try:
            with images._open(path) as image:
                width, height = image.size
                return int(width), int(height)
        except images.UnknownFormatError:
            return images._tiff_size(path)
    with container.open_input(path) as opened:
        for stream in opened.streams.video:
            container.check_size(opened, stream, path)
            return int(stream.codec_context.width), int(stream.codec_context.height)
    raise MediaError(msg("{path} contains no video.", path), "Choose an image or a clip.")
