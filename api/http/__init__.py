"""HTTP concerns that all routes share: middleware, authentication, errors, pagination, documents."""
