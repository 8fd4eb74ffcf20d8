"""The wire: one outbound stream per site, mutual TLS 1.3, typed headers and raw tensors, nothing unpickled."""
