"""Which encoding a text is read in, and that all of its characters arrive."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.ingest.text.text_encoding import DecodedText, NotText, UnknownEncoding, decode

JAPANESE = "# 設定ファイルを読み込み、既定の値を補います。\nvalue = 1\n# 失敗した場合はもう一度試してください。\n"
KOREAN = "// 설정 파일을 읽고 기본값을 채웁니다.\nint value = 1;\n// 실패하면 다시 시도하십시오.\n"
SIMPLIFIED = "# 读取配置文件并补充默认值。\nvalue = 1\n# 如果失败请再试一次。\n"
TRADITIONAL = "# 讀取設定檔並補上預設值。\nvalue = 1\n# 如果失敗請再試一次。\n"
RUSSIAN = "# Читает файл настроек и дополняет значения по умолчанию.\nvalue = 1\n"
GREEK = "# Διαβάζει το αρχείο ρυθμίσεων και συμπληρώνει τις τιμές.\nvalue = 1\n"
HEBREW = "# קורא את קובץ ההגדרות ומשלים את ערכי ברירת המחדל\nvalue = 1\n"
POLISH = "# Wczytuje plik ustawień i uzupełnia wartości domyślne, jeśli są puste.\nvalue = 1\n"
FRENCH = "# Lit le fichier de réglages et complète les valeurs par défaut.\nvalue = 1\n"


@pytest.mark.parametrize(
    ("text", "codec", "encoding"),
    [
        (FRENCH, "latin-1", "windows-1252"),
        ("# Preis in €, größer als „0“\n", "cp1252", "windows-1252"),
        (POLISH, "cp1250", "windows-1250"),
        (POLISH, "iso8859-2", "iso-8859-2"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (GREEK, "cp1253", "windows-1253"),
        (HEBREW, "cp1255", "windows-1255"),
        (JAPANESE, "cp932", "shift_jis"),
        (JAPANESE, "euc-jp", "euc-jp"),
        (JAPANESE, "iso2022-jp", "iso-2022-jp"),
        (KOREAN, "cp949", "euc-kr"),
        (SIMPLIFIED, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
    ],
)
def test_an_encoding_that_is_not_declared_is_detected_and_named(text: str, codec: str, encoding: str) -> None:
    assert decode(text.encode(codec)) == DecodedText(text, encoding)


@pytest.mark.parametrize("codec", ["cp932", "euc-jp", "cp1251"])
def test_a_long_text_is_detected_by_whole_lines(codec: str) -> None:
    text = (RUSSIAN if codec == "cp1251" else JAPANESE) * 3_000

    assert decode(text.encode(codec)).text == text


def test_many_equal_lines_are_detected_as_one_is() -> None:
    text = "設定ファイル\n" * 1_000

    assert decode(text.encode("cp932")) == DecodedText(text, "shift_jis")


@pytest.mark.parametrize("word", ["Jürgen", "café", "naïve", "señor", "déjà vu", "Ångström", "São", "für", "Müller"])
def test_one_accented_word_is_not_read_as_greek_or_cyrillic(word: str) -> None:
    text = f"# By {word}.\nx = 1\n"

    assert decode(text.encode("latin-1")).text == text


@pytest.mark.parametrize(
    ("mark", "codec", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8", None),
        (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16le"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16be"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32le"),
        (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32be"),
    ],
)
def test_a_byte_order_mark_decides_and_is_no_part_of_the_text(mark: bytes, codec: str, encoding: str | None) -> None:
    assert decode(mark + JAPANESE.encode(codec)) == DecodedText(JAPANESE, encoding)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognized_by_its_ascii(codec: str) -> None:
    assert decode(RUSSIAN.encode(codec)) == DecodedText(RUSSIAN, codec.replace("16-", "16"))


@pytest.mark.parametrize(
    ("head", "codec", "encoding"),
    [
        ("# -*- coding: koi8-r -*-\n", "koi8-r", "koi8-r"),
        ("#!/usr/bin/env python\n# coding=cp1251\n", "cp1251", "windows-1251"),
        (";; -*- mode: lisp; coding: windows-1251-unix -*-\n", "cp1251", "windows-1251"),
        ("/* vim: set fileencoding=iso-8859-5 : */\n", "iso8859-5", "iso-8859-5"),
        ('<?xml version="1.0" encoding="IBM866"?>\n', "cp866", "cp866"),
        ('<html><head><meta charset="x-mac-cyrillic">', "mac-cyrillic", "mac-cyrillic"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=koi8-u">', "koi8-u", "koi8-u"),
        ('@charset "iso-8859-5";\n', "iso8859-5", "iso-8859-5"),
    ],
)
def test_a_declaration_decides_where_the_text_is_not_utf_8(head: str, codec: str, encoding: str) -> None:
    text = head + "# Да\n"

    assert decode(text.encode(codec)) == DecodedText(text, encoding)


def test_the_last_lines_may_declare_the_encoding_for_vim() -> None:
    text = "# Да\n" * 1_000 + "# vim: set fenc=cp866 :\n"

    assert decode(text.encode("cp866")) == DecodedText(text, "cp866")


@pytest.mark.parametrize(
    "label", ["utf-8", "latin-1", "no-such-codec", "utf-16", "rot13", "hex", "unicode_escape", "idna"]
)
def test_a_declaration_that_is_wrong_is_ignored(label: str) -> None:
    text = f"# coding: {label}\n{RUSSIAN}"

    assert decode(text.encode()) == DecodedText(text, None)
    if label != "latin-1":
        assert decode(text.encode("koi8-r")) == DecodedText(text, "koi8-r")


def test_a_declared_encoding_of_several_bytes_is_believed_where_the_bytes_are_also_utf_8() -> None:
    text = "# coding: euc-jp\n# 短\n"  # two bytes that are a character of UTF-8 too
    data = text.encode("euc-jp")

    assert data.decode() != text
    assert decode(data) == DecodedText(text, "euc-jp")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"\x1f\x8b\x08" + bytes(range(1, 256)) * 4,
        b"MZ\x90\x00\x03\x00\x00\x00",
        codecs.BOM_UTF16_LE + b"\x00\xd8\x00\xd8",
        "x".encode("utf-16-le") + b"\x01\x00\x02\x00",
        b"\x00" * 64,
    ],
)
def test_binary_data_is_no_text(data: bytes) -> None:
    with pytest.raises(NotText):
        decode(data)


def test_bytes_that_fit_no_encoding_are_reported() -> None:
    with pytest.raises(UnknownEncoding):
        decode(b"\x81 = 1\n\x8d = 2\n")


@given(st.text())
def test_utf_8_is_read_exactly(text: str) -> None:
    if "\x00" not in text and not text.startswith("\ufeff") and "\x1b$" not in text:
        assert decode(text.encode()) == DecodedText(text, None)


@given(st.binary())
def test_any_bytes_are_a_text_of_all_bytes_or_are_refused(data: bytes) -> None:
    try:
        text, encoding = decode(data)
    except (NotText, UnknownEncoding):
        return
    mark = next(
        (mark for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) if data.startswith(mark)), b""
    )
    assert encoding is not None or mark + text.encode() == data or mark == codecs.BOM_UTF8
