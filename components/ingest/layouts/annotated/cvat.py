"""The layout `cvat`: the XML file of "CVAT for images 1.1".

Our own reader rather than Datumaro, which brings OpenCV and reads CVAT's masks with COCO's rules where the two differ;
the file is read with defusedxml, which refuses what makes XML dangerous.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from components.data.dataset import LayoutError
from components.ingest.layouts.annotated import cvat_shapes
from components.ingest.layouts.annotated.shared import files
from components.ingest.layouts.annotated.shared.entries import Entry, Found, Malformed, Wanted
from components.ingest.layouts.annotated.shared.names import Names
from components.ingest.layouts.listing import Listing
from components.ingest.layouts.paths.split_names import split_of
from components.ingest.layouts.rules import by_split
from components.ingest.settings import Data

_EMPTY = "[image has|images have] no annotation, so that none of the labels applies"
_TAGS_UNUSED = "tag[ was|s were] left out: only regions give pixels a label"
_SHAPES_UNUSED = "[box or region was|boxes and regions were] left out: the labels of images are tags"
_ATTRIBUTES = "[attribute of an object was|attributes of objects were] left out"
_NO_AREA = "[line, point or cuboid covers|lines, points and cuboids cover] no pixels and [was|were] left out"
_NO_SPLIT = "[image is|images are] of a subset that is no split, so that [its|their] split is decided by hash"


def read(listing: Listing, data: Data, wanted: Wanted) -> Found:
    """Reads the file, or one per split, image by image.

    Labels are those of tags and shapes; if an image has one label and there are tags, they are those of tags. The
    subset that CVAT gives an image is its split, if it has the name of one and there is one file for all.

    Raises:
        ConfigError: there is no such file.
        LayoutError: it is not CVAT's XML, or is of a video.
    """
    assert data.annotations is not None
    found = Found()
    drawn: list[cvat_shapes.Drawn] = []
    for split, path in by_split(data.annotations, "data.annotations").items():
        folders = files.image_folders(listing, data, split)
        found.folders |= {*folders}
        drawn += _file(listing, path, split, Names(listing, folders, found), wanted, found)
    if wanted.one_label and any(image.tags for image in drawn):
        found.note(_SHAPES_UNUSED, count=sum(image.shapes for image in drawn))
        found.entries = [image.entry_of(image.tags) for image in drawn]
    else:
        found.entries = [
            image.entry_of(image.drawn if wanted.per_pixel else image.tags | image.drawn) for image in drawn
        ]
    found.splits |= {entry.split for entry in found.entries}
    if not wanted.one_label:
        for entry in found.entries:
            if not entry.labels and not entry.problem and not entry.file.problem:
                found.note(_EMPTY, entry.file.path)
    return found


def _file(
    listing: Listing, path: str, split: str | None, names: Names, wanted: Wanted, found: Found
) -> list[cvat_shapes.Drawn]:
    """Reads one XML file."""
    file = files.chosen(listing, path, "data.annotations")
    found.used.add(file.path)
    found.splits.add(split)
    drawn = []
    try:
        for element in files.xml(listing, file, ("meta", "image", "track"), files.MOST_OF_ALL):
            if element.tag == "meta":
                found.declared |= _declared(element)
            elif element.tag == "image":
                drawn.append(_image(element, file.path, split, names, wanted, found))
                element.clear()  # a large file must not stay in memory
            elif element.tag == "track":
                raise LayoutError(
                    f'{file.path}: holds the tracks of a video; export it from CVAT as "CVAT for images 1.1"'
                )
            elif element.tag != "annotations":
                raise Malformed(f"{file.path}: expected <annotations> of CVAT for images, got <{element.tag}>")
    except Malformed as error:
        raise files.as_layout_error(error) from None
    return drawn


def _declared(meta: Element) -> set[str]:
    """The labels that the file declares, without the parts of skeletons."""
    names = (label.findtext("name") for label in meta.iter("label") if label.find("parent") is None)
    return {name.strip() for name in names if name and name.strip()}


def _image(
    element: Element, path: str, split: str | None, names: Names, wanted: Wanted, found: Found
) -> cvat_shapes.Drawn:
    name, subset = element.get("name", ""), element.get("subset", "")
    where = f"image {element.get('id', '')} of {path}"
    file = names.exact(f"{subset}/{name}") if subset else None
    entry = Entry(where, file or names.find(name), split or _split(subset, name, found))
    try:
        drawn = cvat_shapes.read(element, entry, wanted)
    except Malformed as error:
        return cvat_shapes.Drawn(Entry(where, entry.file, entry.split, problem=str(error)))
    found.note(_ATTRIBUTES, count=sum(len(child.findall("attribute")) for child in element))
    if wanted.per_pixel:
        found.note(_TAGS_UNUSED, name if drawn.tags else "", len(drawn.tags))
        found.note(_NO_AREA, name if drawn.without_area else "", drawn.without_area)
    return drawn


def _split(subset: str, name: str, found: Found) -> str | None:
    """The split that a subset names, or None."""
    split = split_of(subset)
    if subset and split is None and subset.lower() != "default":
        found.note(_NO_SPLIT, f"{name} ({subset})")
    return split
