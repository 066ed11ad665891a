"""Maps OpenAPI descriptions to tools. Pure: nothing is fetched; a function of the caller reads other files."""
