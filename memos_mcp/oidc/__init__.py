"""Access tokens of an OAuth 2.1 authorization server, as its resource server reads them (RFC 9068, RFC 7515)."""
