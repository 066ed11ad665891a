"""Makes small PDF and office files, as few bytes of each format as its readers need."""

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Final

_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"


def pdf(*pages: str) -> bytes:
    """Return a PDF file with one line of ASCII on each page."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        resources = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {resources} /Contents {5 + 2 * number} 0 R >>")
        objects.append(f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream")
    data, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return f"{data}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """Return a zip archive."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return buffer.getvalue()


def relations(*targets: tuple[str, str]) -> str:
    """Return a relations file: the kind and the name of each target, with the ids r1, r2 and so on."""
    entries = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_RELATIONS}">{entries}</Relationships>'


def docx(body: str, **more: str) -> bytes:
    """Return a Word file with this body; its style `berschrift1` is a heading."""
    name = '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    return archive(
        {
            "_rels/.rels": relations(("officeDocument", "word/document.xml")),
            "word/_rels/document.xml.rels": relations(("styles", "styles.xml"), ("footnotes", "footnotes.xml")),
            "word/styles.xml": f'<w:styles xmlns:w="w">{name}</w:styles>',
            "word/document.xml": f'<w:document xmlns:w="w"><w:body>{body}</w:body></w:document>',
            **{f"word/{part}.xml": f'<w:{part} xmlns:w="w">{text}</w:{part}>' for part, text in more.items()},
        }
    )


def pptx(*slides: str, notes: str = "") -> bytes:
    """Return a PowerPoint file; the notes are those of its first slide. The slides are stored in reverse order."""
    targets = [("slide", f"slides/slide{len(slides) - number}.xml") for number in range(len(slides))]
    ids = "".join(f'<p:sldId r:id="r{number}"/>' for number in range(1, len(slides) + 1))
    files = {
        "_rels/.rels": relations(("officeDocument", "/ppt/presentation.xml")),
        "ppt/presentation.xml": f'<p:presentation xmlns:p="p" xmlns:r="r">{ids}</p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations(*targets),
        f"ppt/slides/_rels/slide{len(slides)}.xml.rels": relations(("notesSlide", "../notesSlides/notes1.xml")),
        "ppt/notesSlides/notes1.xml": f'<p:notes xmlns:p="p" xmlns:a="a">{notes}</p:notes>',
    }
    for (_, name), slide in zip(targets, slides, strict=True):
        files[f"ppt/{name}"] = f'<p:sld xmlns:p="p" xmlns:a="a">{slide}</p:sld>'
    return archive(files)


def shape(text: str, placeholder: str = "") -> str:
    """Return a shape of a slide."""
    kind = f'<p:ph type="{placeholder}"/>' if placeholder else ""
    return f"<p:sp>{kind}<a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sp>"


def xlsx(sheets: Mapping[str, str], shared: Sequence[str] = (), formats: Sequence[int] = (0,)) -> bytes:
    """Return an Excel file with the rows of each sheet as XML, shared texts and the number formats of the styles."""
    targets = [("worksheet", f"worksheets/sheet{number}.xml") for number in range(1, len(sheets) + 1)]
    styles = "".join(f'<xf numFmtId="{one}"/>' for one in formats)
    entries = "".join(f'<sheet name="{name}" r:id="r{number}"/>' for number, name in enumerate(sheets, 1))
    files = {
        "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns:r="r"><sheets>{entries}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(*targets, ("sharedStrings", "shared.xml"), ("styles", "styles.xml")),
        "xl/shared.xml": f"<sst>{''.join(f'<si><t>{text}</t></si>' for text in shared)}</sst>",
        "xl/styles.xml": f"<s><cellXfs>{styles}</cellXfs></s>",
    }
    for (_, name), rows in zip(targets, sheets.values(), strict=True):
        files[f"xl/{name}"] = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
    return archive(files)


def open_format(kind: str, contents: str) -> bytes:
    """Return an OpenDocument file of one kind: `text`, `presentation` or `spreadsheet`."""
    spaces = " ".join(f'xmlns:{prefix}="{prefix}"' for prefix in ("office", "text", "table", "draw", "presentation"))
    body = f"<office:body><office:{kind}>{contents}</office:{kind}></office:body>"
    return archive({"content.xml": f"<office:document-content {spaces}>{body}</office:document-content>"})
