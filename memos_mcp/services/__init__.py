"""What the product does, on ports only: no driver, no SQL, no MCP."""
