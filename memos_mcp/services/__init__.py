"""The use cases of the product. They work on ports only: no driver, no SQL, no MCP."""
