"""The services that the routes and the console share: access to the stores, and answers put together from them."""
