"""What a collection is created with, and how an existing one differs from that."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from qdrant_client import models

from memos_mcp.domain.index import FIELDS, ItemKind, SettingMismatch, Shape
from memos_mcp.qdrant.points import DENSE, ITEM, NAMESPACE, PASSAGE, SEQUENCE
from memos_mcp.qdrant.server.options import ServerOptions

FieldSchema: TypeAlias = models.PayloadSchemaType | models.PayloadSchemaParams

_MEMORY: Final = {True: models.Memory.COLD, False: models.Memory.CACHED}


def dense_vectors(shape: Shape, options: ServerOptions) -> models.VectorParams:
    """Return the parameters of the dense vectors."""
    quantization = None
    if options.quantization == "int8":
        int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, memory=models.Memory.PINNED)
        quantization = models.ScalarQuantization(scalar=int8)
    return models.VectorParams(
        size=shape.dimensions,
        distance=models.Distance.COSINE,
        quantization_config=quantization,
        memory=None if options.on_disk is None else _MEMORY[options.on_disk],
    )


def field_indexes(kind: ItemKind) -> list[tuple[str, FieldSchema]]:
    """Return the payload fields of a kind with their indexes. The namespace is the tenant: its points lie together."""
    keyword = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=False)
    number = models.FloatIndexParams(type=models.FloatIndexType.FLOAT, enable_hnsw=False)
    integer = models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
    )
    return [
        (NAMESPACE, models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)),
        (ITEM, keyword),
        (PASSAGE, integer),
        (SEQUENCE, integer),
        *((field, keyword) for field in FIELDS[kind].words),
        *((field, number) for field in FIELDS[kind].numbers),
    ]


def mismatches(kind: ItemKind, config: models.CollectionConfig, options: ServerOptions) -> Sequence[SettingMismatch]:
    """Return the settings that the collection of this kind was created without.

    A setting without a value, which is the choice of the server, is not compared, nor is one that it does not report.
    """
    compared = {
        "MEMOS_QDRANT_SHARDS": (config.params.shard_number, options.shards),
        "MEMOS_QDRANT_REPLICAS": (config.params.replication_factor, options.replicas),
        "MEMOS_QDRANT_WRITE_CONSISTENCY": (config.params.write_consistency_factor, options.write_consistency),
        "MEMOS_QDRANT_QUANTIZATION": (_quantization(config), options.quantization),
        "MEMOS_QDRANT_ON_DISK": (_on_disk(config), options.on_disk),
    }
    return [
        SettingMismatch(kind, setting, str(found), str(configured))
        for setting, (found, configured) in compared.items()
        if found is not None and configured is not None and found != configured
    ]


def _dense(config: models.CollectionConfig) -> models.VectorParams | None:
    return config.params.vectors.get(DENSE) if isinstance(config.params.vectors, dict) else None


def _quantization(config: models.CollectionConfig) -> str:
    dense = _dense(config)
    method = (dense and dense.quantization_config) or config.quantization_config
    if method is None:
        return "none"
    return "int8" if isinstance(method, models.ScalarQuantization) else "another method"


def _on_disk(config: models.CollectionConfig) -> bool:
    dense = _dense(config)
    if dense is None:
        return False
    return bool(dense.on_disk) if dense.memory is None else dense.memory == models.Memory.COLD
