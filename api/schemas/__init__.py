"""Bodies of requests and responses, field by field as the API reference pages give them."""
