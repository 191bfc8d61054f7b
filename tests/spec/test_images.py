"""Pictures are whole before they are uploaded: what is cut off, damaged or of another kind is told by `validate`."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.spec.context import LocalImage
from reconciler.spec.files import UnusableError
from reconciler.spec.images import examined
from tests.support.images import CMYK_JPG, JPG, PROGRESSIVE_JPG, RESTARTING_JPG, bmp, png
from tests.support.project import Project
from tests.support.projects import PROJECT, SPEC, problems, put, write

ROOT = Path(__file__).parents[2]
WHOLE = {
    "PNG": [png()], "JPG": [JPG, CMYK_JPG, PROGRESSIVE_JPG, RESTARTING_JPG], "BMP": [bmp(), bmp(5, -3)],
}  # fmt: skip
EVERY = [(kind, content) for kind, contents in WHOLE.items() for content in contents]


def verdict(content: bytes) -> str:
    try:
        return examined(content).kind
    except UnusableError as problem:
        return f"{problem.code}: {problem.message}"


@pytest.mark.parametrize(("kind", "content"), EVERY)
def test_a_whole_picture_is_fine_whatever_follows_its_end(kind: str, content: bytes) -> None:
    assert verdict(content) == kind
    assert verdict(content + b"\0\xff\xd8 trailing") == kind


@pytest.mark.parametrize(("kind", "content"), EVERY)
def test_wherever_a_picture_is_cut_off_it_is_no_picture(kind: str, content: bytes) -> None:
    for length in range(len(content)):
        assert verdict(content[:length]).startswith(("damaged_picture", "not_a_picture")), (kind, length)


@pytest.mark.parametrize("file", sorted((ROOT / "activities/images").iterdir()), ids=lambda file: str(file.name))
def test_the_pictures_of_the_example_are_whole(file: Path) -> None:
    assert verdict(file.read_bytes()) in WHOLE


@given(position=st.integers(8, len(png()) - 1), bit=st.integers(0, 7))
def test_a_png_with_any_bit_flipped_is_damaged(position: int, bit: int) -> None:
    content = bytearray(png())
    content[position] ^= 1 << bit
    assert verdict(bytes(content)).startswith("damaged_picture")


@settings(max_examples=300)
@given(
    begin=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", JPG[:20], PROGRESSIVE_JPG[:200]]),
    rest=st.binary(max_size=80),
)
def test_no_bytes_are_worse_than_a_damaged_picture(begin: bytes, rest: bytes) -> None:
    assert verdict(begin + rest).startswith(("damaged_picture", "JPG", "BMP"))


def jpg_of(width: int, height: int) -> bytes:
    frame = JPG.index(b"\xff\xc0")
    return JPG[: frame + 5] + struct.pack(">HH", height, width) + JPG[frame + 9 :]


def png_of(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">II", width, height) + png()[24:29]
    return png()[:12] + header + struct.pack(">I", zlib.crc32(header)) + png()[33:]


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (0, 0)])
def test_a_picture_without_width_or_height_is_damaged(width: int, height: int) -> None:
    for content in (jpg_of(width, height), png_of(width, height), bmp(width, height)):
        assert f"it is {width} × {height} pixels large" in verdict(content)


def test_padding_between_the_parts_of_a_jpg_is_fine_as_it_is_for_every_viewer() -> None:
    assert verdict(JPG[:20] + b"\0\0\xff\xff" + JPG[20:]) == "JPG"


def test_the_end_of_a_preview_inside_a_picture_is_not_its_end() -> None:
    preview = b"\xff\xe1" + struct.pack(">H", len(JPG) + 2) + JPG
    assert verdict(JPG[:2] + preview + JPG[2:]) == "JPG"
    assert "is cut off" in verdict(JPG[:2] + preview + JPG[2:-2])


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"GIF89a\1\0\1\0", "a GIF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF"),
        (b"<?xml version='1.0'?><svg/>", "an SVG or a web page"),
    ],
)
def test_another_kind_of_picture_is_named(content: bytes, kind: str) -> None:
    assert verdict(content).startswith(f"not_a_picture: is {kind}")


def test_what_has_no_pixels_is_damaged() -> None:
    assert "it holds no pixels" in verdict(JPG[:20] + b"\xff\xd9")
    assert "it holds no pixels" in verdict(png()[:33] + png()[-12:])
    assert "it does not begin with IHDR" in verdict(png()[:8] + png()[-12:])


def test_only_cmyk_is_noted_as_cmyk() -> None:
    assert [examined(each).cmyk for each in (JPG, PROGRESSIVE_JPG, RESTARTING_JPG, CMYK_JPG)] == [False] * 3 + [True]
    assert isinstance(examined(JPG), LocalImage)


def test_a_cut_off_picture_is_told_where_it_is_named(tmp_path: Path) -> None:
    spec = SPEC.replace("https://wxpaylogo.qpic.cn/logo/0", "logo.png").replace(
        "https://wxpaylogo.qpic.cn/award/0", "award.jpg"
    )
    write(tmp_path, paygift_yaml=PROJECT, activities__a_yaml=spec, logo_png=png()[:-3])
    put(tmp_path, "award.jpg", JPG[:-2])
    cut_off = "is cut off before its end: copy or download it again"
    assert problems(tmp_path) == [
        f'activities/a.yaml:4:3: activity_base_info.merchant_logo_url: "logo.png" {cut_off}',
        f'activities/a.yaml:12:30: award_send_rule.award_list[0].original_image_url: "award.jpg" {cut_off}',
    ]


def test_a_cmyk_picture_is_noted_and_stops_nothing(project: Project) -> None:
    (project.root / "images/logo.jpg").write_bytes(CMYK_JPG)
    project.edit("spring", "merchant_logo_url: images/logo.png", "merchant_logo_url: images/logo.jpg")
    code, out, err = project.run("validate")
    assert (code, out) == (0, "1 spec fine.\n")
    assert err == (
        'note: activities/spring.yaml:4:3: activity_base_info.merchant_logo_url: "images/logo.jpg" is a CMYK JPG, '
        "whose colours phones may show wrongly: better save it as RGB\n"
    )
    _, out, _ = project.run("validate", "--json")
    assert [note["code"] for note in json.loads(out)["notes"]] == ["cmyk_picture"]
